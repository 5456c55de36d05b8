import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { decodeBase64 } from "../../src/lib/base64.ts"

describe("decodeBase64", () => {
  test.each(["base64", "base64url"] as const)("gives back what was written as %s", (encoding) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(decodeBase64(Buffer.from(bytes).toString(encoding))).toEqual(new Uint8Array(bytes))
      }),
    )
  })

  test.each(["a", "abcde", "=", "ab=", "abc==", "ab==cd", "a b=", "ab\n=", "ab!=", "äb=="])("%j is none", (text) => {
    expect(decodeBase64(text)).toBeNull()
  })

  test("padding may be left out", () => {
    expect(decodeBase64("YQ")).toEqual(new Uint8Array([97]))
    expect(decodeBase64("YQ==")).toEqual(new Uint8Array([97]))
  })

  test("16 MiB are no problem", () => {
    const bytes = Buffer.alloc(16 << 20, 7)
    expect(decodeBase64(bytes.toString("base64"))?.byteLength).toBe(bytes.byteLength)
  })
})
