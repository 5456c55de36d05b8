import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { readBytes, readText, sliceStream } from "../../src/lib/stream.ts"

interface Source {
  readonly stream: ReadableStream<Uint8Array>
  readonly cancelled: () => boolean
  readonly pulled: () => number
}

/** Gives these chunks one by one; `failure` comes after the last instead of the end. */
function source(chunks: readonly Uint8Array[], failure?: Error): Source {
  let pulled = 0
  let cancelled = false
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[pulled]
        pulled += 1
        if (chunk !== undefined) controller.enqueue(chunk)
        else if (failure === undefined) controller.close()
        else controller.error(failure)
      },
      cancel() {
        cancelled = true
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, cancelled: () => cancelled, pulled: () => pulled }
}

const text = (...parts: readonly string[]) => parts.map((part) => new TextEncoder().encode(part))

describe("readBytes()", () => {
  test("joins the chunks", async () => {
    expect(await readText(source(text("he", "", "llo")).stream, 5)).toBe("hello")
    expect((await readBytes(source([]).stream, 0)).byteLength).toBe(0)
  })

  test("refuses more than its limit, and reads no further", async () => {
    const { stream, cancelled, pulled } = source(text("123", "456", "789"))

    await expect(readBytes(stream, 5)).rejects.toThrow(RangeError)
    expect([cancelled(), pulled()]).toEqual([true, 2])
  })

  test("fails as the stream does", async () => {
    await expect(readBytes(source(text("1"), new Error("broken")).stream, 5)).rejects.toThrow("broken")
  })
})

describe("sliceStream()", () => {
  test("gives any part of any chunks", async () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 5 }), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(chunks, fc.nat(40), fc.nat(40), async (parts, skip, length) => {
        const whole = Buffer.concat(parts)
        const read = readBytes(sliceStream(source(parts).stream, skip, length), 100)

        if (skip + length <= whole.byteLength || length === 0) {
          expect(Buffer.from(await read)).toEqual(whole.subarray(skip, skip + length))
        } else await expect(read).rejects.toThrow(`${skip + length - whole.byteLength} bytes too early`)
      }),
    )
  })

  test("cancels what comes after the part", async () => {
    const { stream, cancelled } = source(text("abc", "def", "ghi"))

    expect(await readText(sliceStream(stream, 2, 3), 9)).toBe("cde")
    expect(cancelled()).toBe(true)
  })

  test("passes a failure and a cancellation on", async () => {
    const { stream, cancelled } = source(text("abc", "def"))
    const reader = sliceStream(stream, 1, 5).getReader()
    await reader.read()
    await reader.cancel()

    expect(cancelled()).toBe(true)
    await expect(readText(sliceStream(source(text("a"), new Error("broken")).stream, 0, 5), 9)).rejects.toThrow(
      "broken",
    )
  })
})
