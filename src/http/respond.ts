import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"
import type { LocatedBlob, ReadyBlob } from "../blob/blob.ts"
import { allowsRange, matchesNone } from "../lib/conditional.ts"
import { type ByteRange, parseRange } from "../lib/range.ts"
import { RegistryError } from "../oci/error.ts"
import { errorResponse } from "./error.ts"

export interface Presentation {
  readonly contentType: string
  readonly cacheControl: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Read at once: for small files that is faster than handing them to the kernel. */
const SMALL_FILE_BYTES = 64 * 1024

/**
 * The answer for content that is named by its digest: HEAD, 304, 206, 416 and 200 (RFC 9110, 13 to 15). Only a GET
 * that needs bytes opens anything. Rejects as the blob does.
 */
export async function respond(request: Request, blob: LocatedBlob, presentation: Presentation): Promise<Response> {
  const { digest, size } = blob.descriptor
  const headers: Record<string, string> = {
    "content-type": presentation.contentType,
    "cache-control": presentation.cacheControl,
    "docker-content-digest": digest,
    etag: `"${digest}"`,
    "accept-ranges": "bytes",
    ...presentation.headers,
  }
  if (matchesNone(request.headers.get("if-none-match"), digest)) {
    const { "content-type": _, ...rest } = headers
    return new Response(null, { status: 304, headers: rest })
  }
  if (request.method === "HEAD") return new Response(null, { headers: { ...headers, "content-length": String(size) } })
  const isRangeAllowed = allowsRange(request.headers.get("if-range"), digest)
  const range = isRangeAllowed ? parseRange(request.headers.get("range"), size) : null
  if (range === "unsatisfiable") return notSatisfiable(request.method, size)
  const ready = blob.kind === "cold" ? await blob.obtain(request.signal) : blob
  return await bodyResponse(ready, range, { headers, signal: request.signal })
}

interface Sending {
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

async function bodyResponse(blob: ReadyBlob, range: ByteRange | null, { headers, signal }: Sending): Promise<Response> {
  const { size } = blob.descriptor
  const { start, end } = range ?? { start: 0, end: size }
  const partial = { "content-range": `bytes ${start}-${end - 1}/${size}` }
  const init = range === null ? { status: 200, headers } : { status: 206, headers: { ...headers, ...partial } }
  const sized = { ...init, headers: { ...init.headers, "content-length": String(end - start) } }
  switch (blob.kind) {
    case "bytes":
      return new Response(blob.bytes.subarray(start, end), sized)
    case "file":
      return fileResponse(blob.path, { start, end }, range !== null, sized)
    case "stream":
      return new Response(await blob.open({ start, end }, signal), init)
    default:
      return blob satisfies never
  }
}

/**
 * Bun would add a Content-Disposition with the name of the file, which an own header keeps it from. It also answers
 * the Range of a whole file by itself: never where this module ignores a Range, as it ignores the same ones.
 */
function fileResponse(path: string, { start, end }: ByteRange, isPartial: boolean, init: ResponseInit): Response {
  if (end - start <= SMALL_FILE_BYTES) return new Response(readPart(path, start, end), init)
  const headers = { ...(init.headers as Record<string, string>), "content-disposition": "" }
  const file = Bun.file(path)
  return new Response(isPartial ? file.slice(start, end) : file, { ...init, headers })
}

function readPart(path: string, start: number, end: number): Uint8Array<ArrayBuffer> {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    if (!fstatSync(file).isFile()) throw new Error(`Cannot send ${path}: it is no regular file`)
    const bytes = new Uint8Array(end - start)
    for (let done = 0; done < bytes.byteLength; ) {
      const count = readSync(file, bytes, done, bytes.byteLength - done, start + done)
      if (count === 0) throw new Error(`Cannot send ${path}: it is shorter than it should be`)
      done += count
    }
    return bytes
  } finally {
    closeSync(file)
  }
}

function notSatisfiable(method: string, size: number): Response {
  const error = new RegistryError("UNSUPPORTED", `The range cannot be satisfied: the content has ${size} bytes`, {
    status: 416,
  })
  return errorResponse(error, method, { "content-range": `bytes */${size}` })
}
