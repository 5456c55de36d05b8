/**
 * The first `length` bytes of a stream, fewer only where it is shorter, and the whole stream, the head included. Rejects
 * when the stream does, or when the signal is aborted, which cancels the stream.
 */
export async function readHead<Bytes extends Uint8Array>(
  stream: ReadableStream<Bytes>,
  length: number,
  signal?: AbortSignal,
): Promise<{ readonly head: Uint8Array; readonly rest: ReadableStream<Bytes> }> {
  const reader = stream.getReader()
  const parts: Bytes[] = []
  let size = 0
  const abort = () => void reader.cancel(signal?.reason).catch(() => {}) // it has failed itself
  signal?.addEventListener("abort", abort)
  if (signal?.aborted === true) abort()
  try {
    while (size < length) {
      const { done, value } = await reader.read()
      if (done) break
      parts.push(value)
      size += value.byteLength
    }
    signal?.throwIfAborted()
  } finally {
    signal?.removeEventListener("abort", abort)
  }
  const head = Buffer.concat(parts).subarray(0, length)
  return { head, rest: continuedStream(parts, reader) }
}

/** The chunks that were read from a stream already, and then what its reader still brings. */
export function continuedStream<Bytes extends Uint8Array>(
  begin: readonly Bytes[],
  reader: ChunkReader<Bytes>,
): ReadableStream<Bytes> {
  const parts = [...begin]
  return new ReadableStream<Bytes>(
    {
      async pull(controller) {
        const part = parts.shift()
        if (part !== undefined) return controller.enqueue(part)
        const { value } = await reader.read()
        if (value === undefined) controller.close()
        else controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}

/** What is needed of a stream's reader. */
interface ChunkReader<Bytes> {
  readonly read: () => Promise<{ readonly done: boolean; readonly value?: Bytes | undefined }>
  readonly cancel: (reason: unknown) => Promise<void>
}
