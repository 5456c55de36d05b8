import { expect, test } from "bun:test"
import { giveBack, soleBytes } from "../../src/lib/sole-bytes.ts"

test("bytes that nobody else has are given back, once", () => {
  const bytes = soleBytes(new Uint8Array(10))
  giveBack(bytes)
  giveBack(bytes)

  expect(bytes.byteLength).toBe(0)
})

test("bytes that others may have are left alone, and a part of those that nobody else has, too", () => {
  const shared = new Uint8Array(10)
  const part = soleBytes(new Uint8Array(10)).subarray(2)
  giveBack(shared)
  giveBack(part)

  expect([shared.byteLength, part.byteLength]).toEqual([10, 8])
})
