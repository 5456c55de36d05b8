/** An answer whose connection breaks after these bytes. */
export function brokenAfter(bytes: Uint8Array<ArrayBuffer>): Response {
  let isSent = false
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (isSent) {
          await Bun.sleep(50) // so that what was sent is on its way before the connection breaks
          controller.error(new Error("The connection breaks"))
        } else controller.enqueue(bytes)
        isSent = true
      },
    },
    { highWaterMark: 0 },
  )
  return new Response(body)
}
