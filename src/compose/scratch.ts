import { parseConfig } from "../oci/config.ts"
import { asObject, type JsonObject, toJson } from "../oci/json.ts"
import { type ImageManifest, parseManifest } from "../oci/manifest.ts"
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../oci/media-type.ts"
import type { Platform } from "../oci/platform.ts"
import { type BaseImage, document } from "./compose.ts"

const LIMIT = 4096

/** The image with nothing in it, for one platform. */
export function scratchImage(platform: Platform): BaseImage {
  const config = document(
    object({ ...platform, config: {}, rootfs: { type: "layers", diff_ids: [] } }),
    OCI_CONFIG,
    LIMIT,
  )
  const { mediaType, digest, size } = config.descriptor
  const json = object({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: { mediaType, digest, size }, layers: [] })
  const manifest = parseManifest(document(json, OCI_MANIFEST, LIMIT)) as ImageManifest
  return { manifest, config: parseConfig(config.bytes) }
}

/** The index with nothing in it. */
export const scratchIndex = (): JsonObject => object({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })

function object(value: object): JsonObject {
  const json = asObject(toJson(value))
  if (json === null) throw new TypeError("Cannot make an object of this value")
  return json
}
