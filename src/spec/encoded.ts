import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { decodeBase64 } from "../lib/base64.ts"
import type { ImageSpecFile } from "./schema.ts"

/** The part of a spec that the original's protobuf message ImageSpec (package registryfacade, proto3) has fields for. */
export type EncodableSpec = Pick<ImageSpecFile, "baseRef" | "ideRef" | "supervisorRef" | "ideLayerRef" | "contentLayer">
type ContentLayer = NonNullable<EncodableSpec["contentLayer"]>[number]
type RemoteLayer = NonNullable<ContentLayer["remote"]>

/** Field numbers are on the wire and never change. 4 and 6 of ImageSpec are reserved. */
const SPEC = { baseRef: 1, ideRef: 2, contentLayer: 3, supervisorRef: 5, ideLayerRef: 7 } as const
const CONTENT_LAYER = { remote: 1, direct: 2 } as const
const REMOTE_LAYER = { url: 1, digest: 2, diffId: 3, mediaType: 4, size: 5 } as const
const DIRECT_LAYER = { content: 1 } as const
const REQUEST = { id: 1 } as const
const RESPONSE = { spec: 1 } as const

/** Method of the original's service (package registryfacade); it takes a request and gives a response as below. */
export const GET_IMAGE_SPEC = "/registryfacade.SpecProvider/GetImageSpec"

/** GetImageSpecRequest. */
export function encodeSpecRequest(id: string): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter()
  writeText(writer, REQUEST.id, id)
  return writer.finish()
}

/** GetImageSpecResponse; null where it has no spec. Throws TypeError for what is no such message. */
export function decodeSpecResponse(bytes: Uint8Array): EncodableSpec | null {
  const spec = readMessage(bytes, (fields) => allBytes(fields, RESPONSE.spec).at(-1))
  return spec === undefined ? null : decodeSpec(spec)
}

/** The text that the original puts into annotations of pods; no spec is no text. */
export const specToBase64 = (spec: EncodableSpec | null): string =>
  spec === null ? "" : Buffer.from(encodeSpec(spec)).toString("base64")

/** Null for an empty text. Throws TypeError for what is no spec in base64. */
export function specFromBase64(text: string): EncodableSpec | null {
  const bytes = /[-_]/.test(text) || text.length % 4 !== 0 ? null : decodeBase64(text)
  if (bytes === null) throw new TypeError("Cannot read spec: it is not base64")
  return text === "" ? null : decodeSpec(bytes)
}

export function encodeSpec({
  baseRef,
  ideRef,
  supervisorRef,
  ideLayerRef = [],
  contentLayer = [],
}: EncodableSpec): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter()
  writeText(writer, SPEC.baseRef, baseRef)
  writeText(writer, SPEC.ideRef, ideRef)
  for (const layer of contentLayer) writeBytes(writer, SPEC.contentLayer, encodeContentLayer(layer))
  writeText(writer, SPEC.supervisorRef, supervisorRef)
  for (const reference of ideLayerRef) writer.tag(SPEC.ideLayerRef, WireType.LengthDelimited).string(reference)
  return writer.finish()
}

/** Fields that are not known are passed over. Throws TypeError for what is no such message. */
export function decodeSpec(bytes: Uint8Array): EncodableSpec {
  return readMessage(bytes, (fields) => {
    const layers = allBytes(fields, SPEC.contentLayer).map(decodeContentLayer)
    const references = allBytes(fields, SPEC.ideLayerRef).map(decodeText)
    return {
      ...textMember("baseRef", fields, SPEC.baseRef),
      ...textMember("ideRef", fields, SPEC.ideRef),
      ...textMember("supervisorRef", fields, SPEC.supervisorRef),
      ...(references.length === 0 ? {} : { ideLayerRef: references }),
      ...(layers.length === 0 ? {} : { contentLayer: layers }),
    }
  })
}

function readMessage<Result>(bytes: Uint8Array, read: (fields: readonly Field[]) => Result): Result {
  try {
    return read(readFields(bytes))
  } catch (cause) {
    throw new TypeError(`Cannot read spec: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

function encodeContentLayer({ remote, direct }: ContentLayer): Uint8Array {
  const writer = new BinaryWriter()
  if (remote !== undefined) writeBytes(writer, CONTENT_LAYER.remote, encodeRemoteLayer(remote))
  if (direct !== undefined) {
    const inner = new BinaryWriter()
    const content = Buffer.from(direct.content ?? "", "base64")
    if (content.byteLength > 0) writeBytes(inner, DIRECT_LAYER.content, content)
    writeBytes(writer, CONTENT_LAYER.direct, inner.finish())
  }
  return writer.finish()
}

function encodeRemoteLayer({ url, digest, diffId, mediaType, size = 0 }: RemoteLayer): Uint8Array {
  const writer = new BinaryWriter()
  writeText(writer, REMOTE_LAYER.url, url)
  writeText(writer, REMOTE_LAYER.digest, digest)
  writeText(writer, REMOTE_LAYER.diffId, diffId)
  writeText(writer, REMOTE_LAYER.mediaType, mediaType)
  if (BigInt(size) !== 0n) writer.tag(REMOTE_LAYER.size, WireType.Varint).int64(size)
  return writer.finish()
}

/** proto3 does not send what is empty. */
function writeText(writer: BinaryWriter, field: number, text: string | undefined): void {
  if (text !== undefined && text !== "") writer.tag(field, WireType.LengthDelimited).string(text)
}

const writeBytes = (writer: BinaryWriter, field: number, bytes: Uint8Array) =>
  writer.tag(field, WireType.LengthDelimited).bytes(bytes)

function decodeContentLayer(bytes: Uint8Array): ContentLayer {
  const fields = readFields(bytes)
  const last = fields.findLast(({ number }) => number === CONTENT_LAYER.remote || number === CONTENT_LAYER.direct)
  if (last === undefined || typeof last.value === "bigint") return {}
  if (last.number === CONTENT_LAYER.remote) return { remote: decodeRemoteLayer(last.value) }
  const content = allBytes(readFields(last.value), DIRECT_LAYER.content).at(-1)
  return { direct: content === undefined ? {} : { content: Buffer.from(content).toString("base64") } }
}

function decodeRemoteLayer(bytes: Uint8Array): RemoteLayer {
  const fields = readFields(bytes)
  const size = fields.findLast(({ number, value }) => number === REMOTE_LAYER.size && typeof value === "bigint")
  return {
    ...textMember("url", fields, REMOTE_LAYER.url),
    ...textMember("digest", fields, REMOTE_LAYER.digest),
    ...textMember("diffId", fields, REMOTE_LAYER.diffId),
    ...textMember("mediaType", fields, REMOTE_LAYER.mediaType),
    ...(typeof size?.value === "bigint" && size.value !== 0n ? { size: readSize(size.value) } : {}),
  }
}

function readSize(value: bigint): number {
  if (value > 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value)
  throw new RangeError(`a size of ${value} bytes is not possible`)
}

interface Field {
  readonly number: number
  readonly value: Uint8Array | bigint
}

/** Every field of a message that is a varint or has a length, in order. */
function readFields(bytes: Uint8Array): readonly Field[] {
  const reader = new BinaryReader(bytes)
  const fields: Field[] = []
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    if (type === WireType.LengthDelimited) fields.push({ number, value: reader.bytes() })
    else if (type === WireType.Varint) fields.push({ number, value: BigInt(reader.int64()) })
    else reader.skip(type, number)
  }
  return fields
}

const allBytes = (fields: readonly Field[], wanted: number): readonly Uint8Array[] =>
  fields.flatMap(({ number, value }) => (number === wanted && typeof value !== "bigint" ? [value] : []))

/** The last one counts, and an empty one is as good as none. */
function textMember<Name extends string>(name: Name, fields: readonly Field[], wanted: number) {
  const last = allBytes(fields, wanted).at(-1)
  const text = last === undefined ? "" : decodeText(last)
  return (text === "" ? {} : { [name]: text }) as { readonly [Key in Name]?: string }
}

const decodeText = (bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
