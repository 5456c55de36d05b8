import type { Descriptor, JsonBlob } from "./descriptor.ts"
import { digestOf, parseDigest } from "./digest.ts"
import { asItems, asObject, asSize, asString, getMember, type Json, type JsonObject, parseJson } from "./json.ts"
import { bareMediaType, isIndexType, isManifestType, isMediaType, OCI_INDEX, OCI_MANIFEST } from "./media-type.ts"
import type { Platform } from "./platform.ts"

/** A descriptor together with the JSON that it was read from, for editing without loss. */
export interface DescriptorNode {
  readonly descriptor: Descriptor
  readonly json: JsonObject
}

export interface ImageManifest {
  readonly kind: "manifest"
  readonly blob: JsonBlob
  readonly json: JsonObject
  readonly config: DescriptorNode
  readonly layers: readonly DescriptorNode[]
  /** Set on artifacts that are no runnable image. */
  readonly artifactType: string | null
}

export interface ImageIndex {
  readonly kind: "index"
  readonly blob: JsonBlob
  readonly json: JsonObject
  readonly manifests: readonly DescriptorNode[]
}

/** The format before 2016, which registries and clients have given up. */
export class SchemaOneError extends TypeError {
  override readonly name = "SchemaOneError"
}

/** Registries refuse larger ones, and clients do too (distribution-spec: "Pushing Manifests"). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024
const MAX_DESCRIPTORS = 4096

/**
 * Reads a manifest or an index (image-spec: manifest.md, image-index.md). Throws TypeError or SyntaxError for what is
 * neither, or could be read as both (CVE-2021-41190).
 */
export function parseManifest(blob: JsonBlob): ImageManifest | ImageIndex {
  const json = asObject(parseJson(blob.bytes))
  if (json === null) throw new TypeError("expected a JSON object")
  const mediaType = manifestMediaType(json, blob.descriptor.mediaType)
  return isIndexType(mediaType) ? parseIndex(blob, json) : parseImage(blob, json)
}

/** Gives bytes their descriptor; the media type inside them wins over what a header claimed. */
export function manifestBlob(bytes: Uint8Array<ArrayBuffer>, header: string | null): JsonBlob {
  if (bytes.byteLength > MAX_MANIFEST_BYTES) throw new TypeError(`it is larger than ${MAX_MANIFEST_BYTES} bytes`)
  const json = asObject(parseJson(bytes))
  if (json === null) throw new TypeError("expected a JSON object")
  const mediaType = manifestMediaType(json, header)
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength }, bytes }
}

/** What gives a document its meaning; Go reads these keys in any letter case, so there must be no second spelling. */
const KEYS = ["schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "signatures"]

function manifestMediaType(json: JsonObject, header: string | null): string {
  const own = asString(getMember(json, "mediaType"))
  if (own === null && hasValue(json, "mediaType")) throw new TypeError("its mediaType is no text")
  const claimed = header === null ? null : bareMediaType(header)
  if (getMember(json, "fsLayers") !== null || getMember(json, "signatures") !== null || isSchemaOne(claimed)) {
    throw new SchemaOneError("schema 1 manifests are not supported: push the image again with a current client")
  }
  if (own !== null && claimed !== null && isManifestLike(claimed) && own !== claimed) {
    throw new TypeError(`its mediaType is ${JSON.stringify(own)} but it was announced as ${JSON.stringify(claimed)}`)
  }
  const mediaType = own ?? (claimed !== null && isManifestLike(claimed) ? claimed : inferredMediaType(json))
  checkShape(json, mediaType)
  return mediaType
}

const isSchemaOne = (mediaType: string | null): boolean =>
  mediaType?.startsWith("application/vnd.docker.distribution.manifest.v1+") === true

const hasValue = (json: JsonObject, key: string): boolean => {
  const member = getMember(json, key)
  return member !== null && !(member.kind === "scalar" && member.value === null)
}

const isManifestLike = (mediaType: string): boolean => isIndexType(mediaType) || isManifestType(mediaType)

/** `mediaType` is optional in both documents (image-spec: manifest.md, "Image Manifest Property Descriptions"). */
const inferredMediaType = (json: JsonObject): string =>
  getMember(json, "manifests") === null ? OCI_MANIFEST : OCI_INDEX

function checkShape(json: JsonObject, mediaType: string): void {
  const has = (key: string) => getMember(json, key) !== null
  const odd = json.members.find(({ key }) =>
    KEYS.some((name) => name !== key && name.toLowerCase() === key.toLowerCase()),
  )
  if (odd !== undefined) throw new TypeError(`its key ${JSON.stringify(odd.key)} could be read in two ways`)
  if (has("manifests") && (has("layers") || has("config"))) throw new TypeError("it is an image and an index at once")
  if (isIndexType(mediaType) && (has("layers") || has("config"))) throw new TypeError("an index has no layers")
  if (isManifestType(mediaType) && has("manifests")) throw new TypeError("an image manifest has no manifests")
  if (!isManifestLike(mediaType)) throw new TypeError(`its media type ${JSON.stringify(mediaType)} is not supported`)
}

function parseIndex(blob: JsonBlob, json: JsonObject): ImageIndex {
  const manifests = descriptors(getMember(json, "manifests"), "manifests")
  return { kind: "index", blob, json, manifests }
}

function parseImage(blob: JsonBlob, json: JsonObject): ImageManifest {
  const config = getMember(json, "config")
  if (config === null) throw new TypeError("it has no config")
  return {
    kind: "manifest",
    blob,
    json,
    config: descriptorNode(config, "config"),
    layers: descriptors(getMember(json, "layers"), "layers"),
    artifactType: asString(getMember(json, "artifactType")),
  }
}

function descriptors(json: Json | null, path: string): readonly DescriptorNode[] {
  const items = asItems(json)
  if (json?.kind === "object" || (json?.kind === "scalar" && json.value !== null))
    throw new TypeError(`"${path}" is no list`)
  if (items.length > MAX_DESCRIPTORS) throw new TypeError(`"${path}" has more than ${MAX_DESCRIPTORS} entries`)
  return items.map((item, index) => descriptorNode(item, `${path}[${index}]`))
}

function descriptorNode(json: Json, path: string): DescriptorNode {
  const object = asObject(json)
  if (object === null) throw new TypeError(`"${path}" is no object`)
  const mediaType = asString(getMember(object, "mediaType")) ?? ""
  if (!isMediaType(mediaType)) throw new TypeError(`"${path}.mediaType" is no media type`)
  const size = asSize(getMember(object, "size"))
  if (size === null) throw new TypeError(`"${path}.size" is no count of bytes`)
  const digest = parseDigest(asString(getMember(object, "digest")) ?? "")
  return { json: object, descriptor: { mediaType, digest, size, ...optional(object) } }
}

function optional(object: JsonObject): { platform?: Platform; annotations?: Record<string, string> } {
  const platform = readPlatform(asObject(getMember(object, "platform")))
  const annotations = stringMap(asObject(getMember(object, "annotations")))
  return { ...(platform === null ? {} : { platform }), ...(annotations === null ? {} : { annotations }) }
}

function readPlatform(object: JsonObject | null): Platform | null {
  const os = asString(getMember(object, "os"))
  const architecture = asString(getMember(object, "architecture"))
  const variant = asString(getMember(object, "variant"))
  if (os === null || architecture === null) return null
  return { os, architecture, ...(variant === null ? {} : { variant }) }
}

function stringMap(object: JsonObject | null): Record<string, string> | null {
  if (object === null) return null
  return Object.fromEntries(object.members.map(({ key, value }) => [key, asString(value) ?? ""]))
}
