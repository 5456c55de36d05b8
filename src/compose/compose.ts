import type { ConfigEdit, Layer } from "../layer/layer.ts"
import type { ImageConfig } from "../oci/config.ts"
import { MAX_CONFIG_BYTES } from "../oci/config.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import { digestOf } from "../oci/digest.ts"
import { type JsonObject, printJson } from "../oci/json.ts"
import { type ImageManifest, MAX_MANIFEST_BYTES } from "../oci/manifest.ts"
import { configType, type Family, familyOf, manifestType } from "../oci/media-type.ts"
import { composeConfig } from "./config.ts"
import { chooseFamily, composeManifest } from "./manifest.ts"

/** One platform's image before anything is added. */
export interface BaseImage {
  readonly manifest: ImageManifest
  readonly config: ImageConfig
}

export interface Additions {
  readonly layers: readonly Layer[]
  readonly edit: ConfigEdit
  readonly annotations: Readonly<Record<string, string>>
}

export interface ComposedImage {
  readonly manifest: JsonBlob
  readonly config: JsonBlob
}

/**
 * Adds layers and changes to one image. Equal input gives equal bytes. Throws TypeError when the result is larger than
 * clients accept.
 */
export function composeImage({ manifest, config }: BaseImage, { layers, edit, annotations }: Additions): ComposedImage {
  const family = chooseFamily(manifest, layers)
  const configBlob = document(composeConfig(config, layers, edit), configMediaType(manifest, family), MAX_CONFIG_BYTES)
  const json = composeManifest(manifest, { family, config: configBlob.descriptor, layers, annotations })
  return { config: configBlob, manifest: document(json, manifestType(family), MAX_MANIFEST_BYTES) }
}

const configMediaType = ({ config }: ImageManifest, family: Family): string =>
  familyOf(config.descriptor.mediaType) === family ? config.descriptor.mediaType : configType(family)

export function document(json: JsonObject, mediaType: string, limit: number): JsonBlob {
  const bytes = new TextEncoder().encode(printJson(json))
  if (bytes.byteLength > limit) throw new TypeError(`the result has ${bytes.byteLength} bytes, clients accept ${limit}`)
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength }, bytes }
}
