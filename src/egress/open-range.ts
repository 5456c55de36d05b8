import type { ByteRange } from "../lib/range.ts"
import { sliceStream } from "../lib/stream.ts"
import { EgressError, type EgressResponse } from "./egress.ts"

/** An answer other than the one that was needed. */
export class StatusError extends Error {
  override readonly name = "StatusError"
  readonly status: number
  readonly host: string
  readonly headers: Headers
  readonly isRedirected: boolean

  constructor({ status, url, headers, isRedirected }: EgressResponse) {
    super(`${url.host} answered ${status}`)
    this.status = status
    this.host = url.host
    this.headers = headers
    this.isRedirected = isRedirected
  }
}

/** Asks for the content with these headers. */
export type Send = (headers: Readonly<Record<string, string>>) => Promise<EgressResponse>

/**
 * Opens `range` of content that is `size` bytes long. A server may ignore Range, refuse it or lie about it: then the
 * whole content is asked for and its beginning skipped. Rejects with StatusError, EgressError, or as `send` does.
 */
export async function openRange(range: ByteRange, size: number, send: Send): Promise<ReadableStream<Uint8Array>> {
  if (range.start === 0 && range.end === size) return await openWhole(range, size, await send({}))
  const last = range.end === size ? "" : String(range.end - 1)
  const partial = await send({ range: `bytes=${range.start}-${last}` })
  if (partial.status === 206 && partial.body !== null && isRange(partial.headers, range, size)) return partial.body
  if (partial.status !== 206 && partial.status !== 416) return await openWhole(range, size, partial)
  await partial.body?.cancel()
  return await openWhole(range, size, await send({}))
}

function isRange(headers: Headers, { start, end }: ByteRange, size: number): boolean {
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "")
  if (match === null) return false
  const [, first, last, total] = match
  return Number(first) === start && Number(last) === end - 1 && (total === "*" || Number(total) === size)
}

async function openWhole(
  range: ByteRange,
  size: number,
  response: EgressResponse,
): Promise<ReadableStream<Uint8Array>> {
  const { body, headers, status, url } = response
  if (status !== 200 || body === null) {
    await body?.cancel()
    throw new StatusError(response)
  }
  const length = headers.get("content-length")
  if (length !== null && Number(length) !== size) {
    await body.cancel()
    throw new EgressError("answer", `${url.host} announced ${length.slice(0, 20)} bytes instead of ${size}`)
  }
  return range.start === 0 && range.end === size ? body : sliceStream(body, range.start, range.end - range.start)
}
