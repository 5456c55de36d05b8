import type { Clock } from "../lib/clock.ts"
import { abortable } from "../lib/single-flight.ts"
import { EgressError } from "./egress.ts"

export interface WatchOptions {
  readonly host: string
  readonly progressMs: number
  /** Fewer bytes than this within `trickleMs` are silence, too. */
  readonly trickleBytes: number
  readonly trickleMs: number
  readonly clock: Clock
  /** Ends the body with its reason. */
  readonly signal: AbortSignal
}

/**
 * A body that errors with EgressError when its peer breaks off, goes silent, or sends so little that it might as well. Only time in which we wait
 * for bytes counts: a consumer that reads slowly is no fault of the peer.
 */
export function watchBody(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  options: WatchOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader()
  const trickle = watchTrickle(options)
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const waitedSince = options.clock.now()
          const { done, value } = await inTime(reader.read(), options).catch((error) =>
            Promise.reject(broken(error, options)),
          )
          if (done) return controller.close()
          trickle(value.byteLength, options.clock.now() - waitedSince)
          controller.enqueue(value)
        } catch (error) {
          controller.error(error)
          await reader.cancel(error).catch(() => {}) // the connection is gone already
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}

/** What ends a body early is the peer's fault, unless we have ended it ourselves. */
function broken(error: unknown, { host, signal }: WatchOptions): unknown {
  if (signal.aborted || error instanceof EgressError) return error
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error"
  return new EgressError("network", `${host} broke off its answer: ${code}`, { cause: error })
}

/** Throws once too few bytes have come in the time that was spent waiting for them. */
function watchTrickle({ host, trickleBytes, trickleMs }: WatchOptions): (bytes: number, waitedMs: number) => void {
  let bytes = 0
  let waitedMs = 0
  return (more, waited) => {
    bytes += more
    waitedMs += waited
    if (waitedMs < trickleMs) return
    if (bytes < trickleBytes)
      throw new EgressError("silent", `${host} sent only ${bytes} bytes in ${Math.round(waitedMs / 1000)} s`)
    bytes = 0
    waitedMs = 0
  }
}

async function inTime<Result>(
  reading: Promise<Result>,
  { host, progressMs, clock, signal }: WatchOptions,
): Promise<Result> {
  const timer = new AbortController()
  const silence = clock.sleep(progressMs, timer.signal).then(() => {
    throw new EgressError("silent", `${host} sent nothing for ${progressMs / 1000} s`)
  })
  silence.catch(() => {})
  try {
    return await abortable(Promise.race([reading, silence]), signal)
  } finally {
    timer.abort()
  }
}
