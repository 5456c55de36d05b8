import type { Clock } from "../lib/clock.ts"
import { abortable } from "../lib/single-flight.ts"
import { EgressError } from "./egress.ts"

export interface WatchOptions {
  readonly host: string
  readonly progressMs: number
  readonly clock: Clock
  /** Ends the body with its reason. */
  readonly signal: AbortSignal
}

/**
 * A body that errors when its peer goes silent. Only time in which we wait for bytes counts: a consumer that reads
 * slowly is no fault of the peer.
 */
export function watchBody(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  options: WatchOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const { done, value } = await inTime(reader.read(), options)
          if (done) controller.close()
          else controller.enqueue(value)
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
