import { closeSync, constants, openSync, readSync } from "node:fs"
import type { LocatedBlob } from "../blob/blob.ts"
import { allowsRange, isUnmodified, matchesNone } from "../lib/conditional.ts"
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
/** What has become something else than a regular file is neither followed nor waited for. */
const FILE_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/**
 * The answer for content that is named by its digest: HEAD, 304, 206, 416 and 200 (RFC 9110, 13 to 15). Only a GET
 * that needs bytes opens anything. Rejects as the blob does.
 */
export async function respond(request: Request, blob: LocatedBlob, presentation: Presentation): Promise<Response> {
  const { digest, size } = blob.descriptor
  const headers: Record<string, string> = {
    "content-type": presentation.contentType,
    "cache-control": presentation.cacheControl,
    etag: `"${digest}"`,
    "accept-ranges": "bytes",
  }
  if (presentation.headers !== undefined) Object.assign(headers, presentation.headers)
  if (isKnown(request.headers, digest, headers["last-modified"])) {
    delete headers["content-type"]
    return new Response(null, { status: 304, headers })
  }
  if (request.method === "HEAD") {
    headers["content-length"] = String(size)
    return new Response(null, { headers })
  }
  const isRangeAllowed = allowsRange(request.headers.get("if-range"), digest)
  const range = isRangeAllowed ? parseRange(request.headers.get("range"), size) : null
  if (range === "unsatisfiable") return notSatisfiable(request.method, size)
  const ready = blob.kind === "cold" ? await blob.obtain(request.signal) : blob
  const part = range ?? { start: 0, end: size }
  if (range !== null) headers["content-range"] = `bytes ${range.start}-${range.end - 1}/${size}`
  const init = { status: range === null ? 200 : 206, headers }
  if (ready.kind === "stream") return new Response(await ready.open(part, request.signal), init)
  headers["content-length"] = String(part.end - part.start)
  if (ready.kind === "bytes") return new Response(ready.bytes.subarray(part.start, part.end), init)
  return fileResponse(ready.path, part, init)
}

/** A tag says more than a time, so where there is one, the other is passed over (RFC 9110, 13.2.2). */
function isKnown(asked: Headers, digest: string, lastModified: string | undefined): boolean {
  const tags = asked.get("if-none-match")
  if (tags !== null || lastModified === undefined) return matchesNone(tags, digest)
  return isUnmodified(asked.get("if-modified-since"), lastModified)
}

interface Sending {
  readonly status: number
  readonly headers: Record<string, string>
}

/**
 * Bun would add a Content-Disposition with the name of the file, which an own header keeps it from. It also answers
 * the Range of a whole file by itself: never where this module ignores a Range, as it ignores the same ones.
 */
function fileResponse(path: string, part: ByteRange, init: Sending): Response {
  const { start, end } = part
  if (end - start <= SMALL_FILE_BYTES) return new Response(readPart(path, part), init)
  init.headers["content-disposition"] = ""
  const file = Bun.file(path)
  return new Response(init.status === 206 ? file.slice(start, end) : file, init)
}

/** Room for one small file: whoever gets bytes of it copies them at once, as Response does. */
const scratch = new Uint8Array(SMALL_FILE_BYTES)

function readPart(path: string, { start, end }: ByteRange): Uint8Array<ArrayBuffer> {
  const length = end - start
  const file = openSync(path, FILE_FLAGS)
  try {
    for (let done = 0; done < length; ) {
      const count = readSync(file, scratch, done, length - done, start + done)
      if (count === 0) throw new Error(`Cannot send ${path}: it is shorter than it should be`)
      done += count
    }
    return scratch.subarray(0, length)
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
