import { expect, test } from "bun:test"
import { readHead } from "../../src/lib/stream-head.ts"

function pieces(...texts: readonly string[]): ReadableStream<Uint8Array> {
  return new Blob([texts.join("")]).stream()
}

/** Gives `text` and then nothing more, and tells why it was cancelled. */
function silent(text: string) {
  const cancelled = Promise.withResolvers<unknown>()
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => (text === "" ? undefined : controller.enqueue(Buffer.from(text))),
    pull: () => new Promise(() => {}),
    cancel: cancelled.resolve,
  })
  return { stream, cancelled: cancelled.promise }
}

test("gives the head, and a stream that has it again", async () => {
  const { head, rest } = await readHead(pieces("ab", "cdef"), 4)

  expect([Buffer.from(head).toString(), await new Response(rest).text()]).toEqual(["abcd", "abcdef"])
})

test("gives less only where there is no more", async () => {
  const { head, rest } = await readHead(pieces("ab"), 4)

  expect([Buffer.from(head).toString(), await new Response(rest).text()]).toEqual(["ab", "ab"])
})

test.each(["", "ab"])(
  "waits no longer than its signal for what comes after %p, and cancels the stream",
  async (text) => {
    const { stream, cancelled } = silent(text)
    const left = new AbortController()
    const reading = readHead(stream, 4, left.signal)
    const reason = new Error("nobody wants it")
    left.abort(reason)

    await expect(reading).rejects.toBe(reason)
    expect(await cancelled).toBe(reason)
  },
)

test("begins nothing when its signal was aborted before", async () => {
  const { stream, cancelled } = silent("")
  const reason = new Error("nobody wants it")

  await expect(readHead(stream, 4, AbortSignal.abort(reason))).rejects.toBe(reason)
  expect(await cancelled).toBe(reason)
})
