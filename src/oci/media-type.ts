/** Image formats that a manifest can be in; one manifest never mixes them. */
export type Family = "oci" | "docker"
export type Compression = "none" | "gzip" | "zstd"

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json"
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
export const DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
export const OCTET_STREAM = "application/octet-stream"

/** Everything that this product reads as a manifest or an index; sent upstream as Accept, always in full. */
export const MANIFEST_TYPES = [OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST] as const

const PATTERN = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/

/** True for `type/subtype` without parameters (RFC 6838, 4.2). */
export const isMediaType = (text: string): boolean => PATTERN.test(text)

/** The media type of a header value: parameters and letter case removed. */
export const bareMediaType = (header: string): string => (header.split(";")[0] ?? "").trim().toLowerCase()

export const isIndexType = (mediaType: string): boolean => mediaType === OCI_INDEX || mediaType === DOCKER_INDEX
export const isManifestType = (mediaType: string): boolean =>
  mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST
export const isConfigType = (mediaType: string): boolean => mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG
export const familyOf = (mediaType: string): Family =>
  mediaType.startsWith("application/vnd.docker.") ? "docker" : "oci"

export const indexType = (family: Family): string => (family === "oci" ? OCI_INDEX : DOCKER_INDEX)
export const manifestType = (family: Family): string => (family === "oci" ? OCI_MANIFEST : DOCKER_MANIFEST)
export const configType = (family: Family): string => (family === "oci" ? OCI_CONFIG : DOCKER_CONFIG)

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
const OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
const DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"

/** Every name under which a compressed layer is known; a Docker manifest cannot carry zstd (reference: no runtime before 2024 reads it). */
const LAYER_TYPES: readonly {
  readonly oci: string
  readonly docker: string | null
  readonly compression: Compression
  readonly foreign: boolean
}[] = [
  { oci: OCI_LAYER, docker: DOCKER_LAYER, compression: "none", foreign: false },
  { oci: `${OCI_LAYER}+gzip`, docker: `${DOCKER_LAYER}.gzip`, compression: "gzip", foreign: false },
  { oci: `${OCI_LAYER}+zstd`, docker: null, compression: "zstd", foreign: false },
  { oci: OCI_FOREIGN, docker: DOCKER_FOREIGN, compression: "none", foreign: true },
  { oci: `${OCI_FOREIGN}+gzip`, docker: `${DOCKER_FOREIGN}.gzip`, compression: "gzip", foreign: true },
  { oci: `${OCI_FOREIGN}+zstd`, docker: null, compression: "zstd", foreign: true },
]
/** Spellings in circulation that no specification lists. */
const LAYER_ALIASES: Readonly<Record<string, string>> = {
  [`${DOCKER_LAYER}.zstd`]: `${OCI_LAYER}+zstd`,
  [`${DOCKER_FOREIGN}.zstd`]: `${OCI_FOREIGN}+zstd`,
}

const findLayerType = (mediaType: string) => {
  const name = LAYER_ALIASES[mediaType] ?? mediaType
  return LAYER_TYPES.find((type) => type.oci === name || type.docker === name)
}

export function layerType(family: Family, compression: Compression): string {
  const type = LAYER_TYPES.find((candidate) => !candidate.foreign && candidate.compression === compression)
  return (family === "docker" ? type?.docker : type?.oci) ?? `${OCI_LAYER}+${compression}`
}

/** The same layer type in another family; null when that family has no name for it. Unknown types are OCI's to extend. */
export function layerTypeIn(family: Family, mediaType: string): string | null {
  const type = findLayerType(mediaType)
  if (type !== undefined) return family === "oci" ? type.oci : type.docker
  return familyOf(mediaType) === family ? mediaType : null
}

/** Null: the media type does not tell. */
export const layerCompression = (mediaType: string): Compression | null => findLayerType(mediaType)?.compression ?? null

/** Foreign layers may be fetched only from their own URLs (image-spec: layer.md, "Non-Distributable Layers"). */
export const isForeignLayer = (mediaType: string): boolean =>
  findLayerType(mediaType)?.foreign ?? /nondistributable|\.foreign\./.test(mediaType)
