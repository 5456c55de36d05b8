import { abortable } from "./single-flight.ts"
import { continuedStream } from "./stream-head.ts"

/** Reads a stream of at most `limit` bytes. Rejects with RangeError, and cancels the stream, when there are more. */
export async function readBytes(stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream) {
    size += chunk.byteLength
    if (size > limit) throw new RangeError(`More than ${limit} bytes`)
    chunks.push(chunk)
  }
  const whole = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}

export async function readText(stream: ReadableStream<Uint8Array>, limit: number): Promise<string> {
  return new TextDecoder().decode(await readBytes(stream, limit))
}

/**
 * The part of a stream from `skip` on, at most `length` bytes. Errors when it ends before; cancels the rest.
 */
export function sliceStream(
  stream: ReadableStream<Uint8Array>,
  skip: number,
  length: number,
): ReadableStream<Uint8Array> {
  const reader = stream.getReader()
  let toSkip = skip
  let left = length
  const next = async (): Promise<Uint8Array> => {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) throw new RangeError(`The stream ended ${toSkip + left} bytes too early`)
      const skipped = Math.min(toSkip, value.byteLength)
      toSkip -= skipped
      const piece = value.subarray(skipped, skipped + left)
      if (piece.byteLength > 0) return piece
    }
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (left === 0) return controller.close()
        try {
          const piece = await next()
          left -= piece.byteLength
          controller.enqueue(piece)
          if (left > 0) return
          controller.close()
          await reader.cancel()
        } catch (error) {
          controller.error(error)
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}

/** The same stream, once its first bytes are there. Rejects, and cancels it, when there are none or the signal says so. */
export async function begunStream<Bytes extends Uint8Array>(
  stream: ReadableStream<Bytes>,
  signal: AbortSignal,
): Promise<ReadableStream<Bytes>> {
  const reader = stream.getReader()
  const begin = await firstChunk(reader.read(), signal).catch((error) => {
    void reader.cancel(error).catch(() => {}) // a stream that has failed says so again
    throw error
  })
  return continuedStream([begin], reader)
}

async function firstChunk<Bytes>(
  first: Promise<{ readonly done: boolean; readonly value?: Bytes | undefined }>,
  signal: AbortSignal,
): Promise<Bytes> {
  const { value } = await abortable(first, signal)
  if (value === undefined) throw new RangeError("The transfer ended before its first byte")
  return value
}

/** How a stream came to its end: complete, broken by an error, or left by its consumer. */
export type StreamEnd =
  | { readonly kind: "complete" }
  | { readonly kind: "broken"; readonly error: unknown }
  | { readonly kind: "left" }

export interface StreamObserver {
  /** Called each time that the consumer asks for more. */
  readonly asked?: () => void
  readonly chunk?: (bytes: Uint8Array) => void
  /** Called exactly once. */
  readonly end: (end: StreamEnd) => void
}

/** The same stream, watched. */
export function observeStream<Bytes extends Uint8Array>(
  stream: ReadableStream<Bytes>,
  observer: StreamObserver,
): ReadableStream<Bytes> {
  const reader = stream.getReader()
  let isOver = false
  const end = (how: StreamEnd) => {
    if (!isOver) observer.end(how) // a consumer that leaves ends a read that runs, which is no second end
    isOver = true
  }
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        try {
          observer.asked?.()
          const { done, value } = await reader.read()
          if (!done) {
            observer.chunk?.(value)
            controller.enqueue(value)
            return
          }
          controller.close()
          end({ kind: "complete" })
        } catch (error) {
          end({ kind: "broken", error })
          controller.error(error)
        }
      },
      async cancel(reason) {
        end({ kind: "left" })
        await reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
