/**
 * The first `length` bytes of a stream, fewer only where it is shorter, and the whole stream, the head included. Rejects
 * when the stream does.
 */
export async function readHead(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  length: number,
): Promise<{ readonly head: Uint8Array; readonly rest: ReadableStream<Uint8Array<ArrayBuffer>> }> {
  const reader = stream.getReader()
  const parts: Uint8Array<ArrayBuffer>[] = []
  let size = 0
  while (size < length) {
    const { done, value } = await reader.read()
    if (done) break
    parts.push(value)
    size += value.byteLength
  }
  const head = Buffer.concat(parts).subarray(0, length)
  const rest = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        const part = parts.shift()
        if (part !== undefined) return controller.enqueue(part)
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return { head, rest }
}
