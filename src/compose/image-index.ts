import type { JsonBlob } from "../oci/descriptor.ts"
import { asObject, asString, getMember, type JsonObject, toJson, withMember, withoutMembers } from "../oci/json.ts"
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts"
import { familyOf, indexType } from "../oci/media-type.ts"
import type { Platform } from "../oci/platform.ts"
import { document } from "./compose.ts"
import { withAnnotations, withContent } from "./manifest.ts"

export interface ComposedEntry {
  /** The base's entry, or an empty object where the base has none. */
  readonly json: JsonObject
  readonly platform: Platform
  readonly manifest: JsonBlob
}

/** What an entry says about the image that it pointed to before. */
const BASE_ANNOTATIONS = ["org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"]

/** The base's index, pointing to composed images in the base's order. Throws TypeError when it gets too large. */
export function composeIndex(
  base: JsonObject,
  entries: readonly ComposedEntry[],
  annotations: Readonly<Record<string, string>>,
): JsonBlob {
  const isDocker =
    isDockerIndex(base) && entries.every(({ manifest }) => familyOf(manifest.descriptor.mediaType) === "docker")
  const mediaType = indexType(isDocker ? "docker" : "oci")
  let json = withMember(withoutMembers(base, "subject", "artifactType"), "mediaType", toJson(mediaType))
  json = withMember(json, "manifests", { kind: "array", items: entries.map(entryJson) })
  return document(withAnnotations(json, annotations), mediaType, MAX_MANIFEST_BYTES)
}

const isDockerIndex = (json: JsonObject): boolean => asString(getMember(json, "mediaType")) === indexType("docker")

function entryJson({ json, platform, manifest }: ComposedEntry): JsonObject {
  const pointed = withContent(json, manifest.descriptor)
  const annotations = asObject(getMember(pointed, "annotations"))
  const cleaned =
    annotations === null
      ? pointed
      : withMember(pointed, "annotations", withoutMembers(annotations, ...BASE_ANNOTATIONS))
  return tellsPlatform(cleaned) ? cleaned : withMember(cleaned, "platform", toJson(platform))
}

function tellsPlatform(entry: JsonObject): boolean {
  const platform = asObject(getMember(entry, "platform"))
  return ["os", "architecture"].every((key) => asString(getMember(platform, key)) !== null)
}
