import type { Layer } from "../layer/layer.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import {
  asObject,
  asString,
  getMember,
  type Json,
  type JsonObject,
  textMembers,
  toJson,
  withMember,
  withMembers,
  withoutMembers,
} from "../oci/json.ts"
import type { DescriptorNode, ImageManifest } from "../oci/manifest.ts"
import { type Family, familyOf, isForeignLayer, layerTypeIn, manifestType } from "../oci/media-type.ts"

/** One family per manifest: the base's, unless it has no name for one of the layers (reference: clients refuse mixtures). */
export function chooseFamily(base: ImageManifest, layers: readonly Layer[]): Family {
  const family = familyOf(base.blob.descriptor.mediaType)
  const types = [
    ...base.layers.map(({ descriptor }) => descriptor.mediaType),
    ...layers.map(({ descriptor }) => descriptor.mediaType),
  ]
  return types.every((mediaType) => layerTypeIn(family, mediaType) !== null) ? family : "oci"
}

export interface ManifestParts {
  readonly family: Family
  readonly config: Descriptor
  readonly layers: readonly Layer[]
  readonly annotations: Readonly<Record<string, string>>
}

/** The base's manifest with another config and more layers. It is no longer what the base's `subject` refers to. */
export function composeManifest(
  base: ImageManifest,
  { family, config, layers, annotations }: ManifestParts,
): JsonObject {
  const added = layers.map(({ descriptor }) => layerJson(family, descriptor))
  let json = withMediaType(withoutMembers(base.json, "subject", "artifactType"), family)
  json = withMember(json, "config", withContent(base.config.json, config))
  json = withMember(json, "layers", {
    kind: "array",
    items: [...base.layers.map((node) => baseLayer(family, node)), ...added],
  })
  return withAnnotations(json, annotations)
}

/** A Docker manifest needs its media type inside; an OCI manifest that came without one stays so. */
function withMediaType(json: JsonObject, family: Family): JsonObject {
  const isNeeded = family === "docker" || asString(getMember(json, "mediaType")) !== null
  return isNeeded ? withMember(json, "mediaType", toJson(manifestType(family))) : json
}

/** Points a descriptor at other content: what it embedded, or where else it was to be had, no longer holds. */
export function withContent(json: JsonObject, { mediaType, digest, size }: Descriptor): JsonObject {
  let edited = withoutMembers(json, "data", "urls")
  for (const [key, value] of Object.entries({ mediaType, digest, size }))
    edited = withMember(edited, key, toJson(value))
  return edited
}

/** URLs beside a layer would be tried first by clients; only foreign layers are meant to be fetched from them. */
function baseLayer(family: Family, { descriptor, json }: DescriptorNode): JsonObject {
  const kept = isForeignLayer(descriptor.mediaType) ? json : withoutMembers(json, "urls")
  const mediaType = layerTypeIn(family, descriptor.mediaType) ?? descriptor.mediaType
  return mediaType === descriptor.mediaType ? kept : withMember(kept, "mediaType", toJson(mediaType))
}

function layerJson(family: Family, { mediaType, digest, size, annotations }: Descriptor): Json {
  return toJson({ mediaType: layerTypeIn(family, mediaType) ?? mediaType, digest, size, annotations })
}

export function withAnnotations(json: JsonObject, annotations: Readonly<Record<string, string>>): JsonObject {
  const added = textMembers(annotations)
  if (added.size === 0) return json
  const before = asObject(getMember(json, "annotations")) ?? { kind: "object", members: [] }
  return withMember(json, "annotations", withMembers(before, added))
}
