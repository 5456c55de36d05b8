import { closeSync, openSync } from "node:fs"
import type { BytesBlob, ColdBlob, FileBlob, LocatedBlob, StreamBlob } from "../blob/blob.ts"
import { allowsRange, isUnmodified, matchesNone } from "../lib/conditional.ts"
import { fillFrom, REGULAR_FILE } from "../lib/file-part.ts"
import { type ByteRange, parseRange } from "../lib/range.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { errorResponse } from "./error.ts"

export interface Presentation {
  readonly contentType: string
  readonly cacheControl: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Makes the answer of an error, in the form of its port. */
export type Refuse = typeof errorResponse

/** What all of the content is answered with. To make it costs more than to use it again. */
export const headersOf = (
  { digest, size }: Descriptor,
  { cacheControl, contentType, headers }: Presentation,
): Headers =>
  new Headers({
    "content-type": contentType,
    "cache-control": cacheControl,
    etag: `"${digest}"`,
    "accept-ranges": "bytes",
    "content-length": String(size),
    ...headers,
  })

export interface Responding {
  /** Tells why there is no such range. */
  readonly refuse?: Refuse
  /** Absent: as long as the client is there. */
  readonly wait?: AbortSignal
}

/** Read at once: for small files that is faster than handing them to the kernel. */
const SMALL_FILE_BYTES = 64 * 1024

/**
 * The answer for content that is named by its digest: HEAD, 304, 206, 416 and 200 (RFC 9110, 13 to 15), with the headers
 * that `headersOf` has made for it. Only a GET that needs bytes opens anything. What is here is answered at once, and
 * throws where it cannot be read; else it rejects as the blob does, or as `wait` says, which ends with the answer's begin.
 */
export function respond(request: Request, blob: BytesBlob | FileBlob, whole: Headers, how?: Responding): Response
export function respond(
  request: Request,
  blob: LocatedBlob,
  whole: Headers,
  how?: Responding,
): Response | Promise<Response>
export function respond(
  request: Request,
  blob: LocatedBlob,
  whole: Headers,
  { refuse = errorResponse, wait }: Responding = {},
): Response | Promise<Response> {
  const { digest, size } = blob.descriptor
  const { headers: asked, method } = request
  if (isKnown(asked, digest, whole)) return notModified(whole)
  if (method === "HEAD") return new Response(null, { headers: whole })
  const range = rangeOf(asked, digest, size)
  if (range === "unsatisfiable") return notSatisfiable(method, size, refuse)
  const sending = range === null ? { status: 200, headers: whole } : inPart(whole, range, size)
  const part = range ?? { start: 0, end: size }
  if (blob.kind === "bytes" || blob.kind === "file") return send(blob, part, sending)
  return transfer(blob, part, sending, { client: request.signal, wait: wait ?? request.signal })
}

/** True for a request that `respond` answers with all of the content, whatever the client has of it. */
export const asksForAll = ({ headers, method }: Request): boolean =>
  method === "GET" && !headers.has("range") && !headers.has("if-none-match") && !headers.has("if-modified-since")

function rangeOf(asked: Headers, digest: Digest, size: number): ByteRange | "unsatisfiable" | null {
  const range = asked.get("range")
  return range === null || !allowsRange(asked.get("if-range"), digest) ? null : parseRange(range, size)
}

/** A tag says more than a time, so where there is one, the other is passed over (RFC 9110, 13.2.2). */
function isKnown(asked: Headers, digest: string, whole: Headers): boolean {
  const tags = asked.get("if-none-match")
  if (tags !== null) return matchesNone(tags, digest)
  const since = asked.get("if-modified-since")
  const lastModified = since === null ? null : whole.get("last-modified")
  return lastModified !== null && isUnmodified(since, lastModified)
}

interface Signals {
  /** Aborted when the client leaves. */
  readonly client: AbortSignal
  /** Aborted when the client should wait no longer. */
  readonly wait: AbortSignal
}

interface Sending {
  readonly status: number
  readonly headers: Headers
}

function inPart(whole: Headers, { start, end }: ByteRange, size: number): Sending {
  const headers = new Headers(whole)
  headers.set("content-range", `bytes ${start}-${end - 1}/${size}`)
  headers.set("content-length", String(end - start))
  return { status: 206, headers }
}

function notModified(whole: Headers): Response {
  const headers = new Headers(whole)
  headers.delete("content-type")
  headers.delete("content-length")
  return new Response(null, { status: 304, headers })
}

async function transfer(
  blob: ColdBlob | StreamBlob,
  part: ByteRange,
  sending: Sending,
  signals: Signals,
): Promise<Response> {
  const ready = blob.kind === "cold" ? await blob.obtain(signals.wait) : blob
  if (ready.kind !== "stream") return send(ready, part, sending)
  const headers = new Headers(sending.headers)
  headers.delete("content-length")
  return new Response(await opened(ready, part, signals), { status: sending.status, headers })
}

/** A stream that was opened in time is read for as long as the client reads. */
async function opened(
  blob: StreamBlob,
  part: ByteRange,
  { client, wait }: Signals,
): Promise<ReadableStream<Uint8Array>> {
  if (wait === client) return await blob.open(part, client)
  const late = new AbortController()
  const leave = () => late.abort(wait.reason)
  wait.addEventListener("abort", leave, { once: true })
  try {
    wait.throwIfAborted()
    const stream = await blob.open(part, AbortSignal.any([client, late.signal]))
    if (wait.aborted) await stream.cancel(wait.reason) // nobody reads it any more
    wait.throwIfAborted()
    return stream
  } finally {
    wait.removeEventListener("abort", leave)
  }
}

function send(blob: BytesBlob | FileBlob, part: ByteRange, sending: Sending): Response {
  if (blob.kind === "bytes") return new Response(bytesOf(blob, part), sending)
  return fileResponse(blob.path, part, sending)
}

const bytesOf = ({ bytes }: BytesBlob, { start, end }: ByteRange): Uint8Array<ArrayBuffer> =>
  end - start === bytes.byteLength ? bytes : bytes.subarray(start, end)

/**
 * Bun would add a Content-Disposition with the name of the file, which an own header keeps it from. It also answers
 * the Range of a whole file by itself: never where this module ignores a Range, as it ignores the same ones.
 */
function fileResponse(path: string, part: ByteRange, sending: Sending): Response {
  const { start, end } = part
  if (end - start <= SMALL_FILE_BYTES) return new Response(readPart(path, part), sending)
  const { status } = sending
  const headers = new Headers(sending.headers)
  headers.set("content-disposition", "")
  const file = Bun.file(path)
  return new Response(status === 206 ? file.slice(start, end) : file, { status, headers })
}

/** Room for one small file: whoever gets bytes of it copies them at once, as Response does. */
const scratch = new Uint8Array(SMALL_FILE_BYTES)

function readPart(path: string, { start, end }: ByteRange): Uint8Array<ArrayBuffer> {
  const bytes = scratch.subarray(0, end - start)
  const file = openSync(path, REGULAR_FILE)
  try {
    if (!fillFrom(file, bytes, start)) throw new Error(`Cannot send ${path}: it is shorter than it should be`)
    return bytes
  } finally {
    closeSync(file)
  }
}

function notSatisfiable(method: string, size: number, refuse: Refuse): Response {
  const error = new RegistryError("UNSUPPORTED", `The range cannot be satisfied: the content has ${size} bytes`, {
    status: 416,
  })
  return refuse(error, method, { "content-range": `bytes */${size}` })
}
