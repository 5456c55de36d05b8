import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { parseRange } from "../../src/lib/range.ts"

describe("parseRange()", () => {
  test("is done at once with a header of blanks", () => {
    const blanks = " ".repeat(1500)
    const since = performance.now()

    expect(parseRange(`bytes=${blanks}-${blanks}x`, 10)).toBeNull()
    expect(performance.now() - since).toBeLessThan(1000) // going back over them again and again takes seconds
  })

  test.each([
    // distribution-spec's conformance cases on 2048 bytes
    ["bytes=500-1499", 2048, { start: 500, end: 1500 }],
    ["bytes=500-", 2048, { start: 500, end: 2048 }],
    ["bytes=-500", 2048, { start: 1548, end: 2048 }],
    ["bytes=2000-5000", 2048, { start: 2000, end: 2048 }],
    ["bytes=500-0", 2048, "unsatisfiable"],
    ["bytes=5000-10000", 2048, "unsatisfiable"],
    // RFC 9110, 14.1.2
    ["bytes=0-0", 10, { start: 0, end: 1 }],
    ["bytes=-1", 10, { start: 9, end: 10 }],
    ["bytes=0-", 10, { start: 0, end: 10 }],
    ["bytes=9-9", 10, { start: 9, end: 10 }],
    ["bytes=10-", 10, "unsatisfiable"],
    ["bytes=10-10", 10, "unsatisfiable"],
    ["bytes=-0", 10, "unsatisfiable"],
    ["bytes=-99", 10, { start: 0, end: 10 }],
    ["bytes=0-", 0, "unsatisfiable"],
    ["bytes=-1", 0, "unsatisfiable"],
    ["BYTES = 1 - 2", 10, { start: 1, end: 3 }],
    [`bytes=${"9".repeat(400)}-`, 10, "unsatisfiable"],
    [`bytes=0-${"9".repeat(400)}`, 10, { start: 0, end: 10 }],
    [`bytes=-${"9".repeat(400)}`, 10, { start: 0, end: 10 }],
    // to be ignored
    [null, 10, null],
    ["", 10, null],
    ["bytes=-", 10, null],
    ["bytes=a-b", 10, null],
    ["bytes=1.5-2", 10, null],
    ["bytes=--1", 10, null],
    ["items=0-1", 10, null],
    ["bytes 0-1", 10, null],
    ["bytes=0-1,5-6", 10, null],
  ] as const)("%s of %d bytes", (header, size, expected) => {
    expect(parseRange(header, size)).toEqual(expected)
  })

  test("a range is never empty and never reaches beyond the content", () => {
    const bound = fc.oneof(fc.constant(""), fc.nat(30).map(String))
    fc.assert(
      fc.property(bound, bound, fc.nat(20), (first, last, size) => {
        const range = parseRange(`bytes=${first}-${last}`, size)
        if (range === null || range === "unsatisfiable") return
        expect(range.start).toBeGreaterThanOrEqual(0)
        expect(range.end).toBeGreaterThan(range.start)
        expect(range.end).toBeLessThanOrEqual(size)
      }),
    )
  })
})
