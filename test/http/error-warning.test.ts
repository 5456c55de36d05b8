import { describe, expect, test } from "bun:test"
import { errorResponse } from "../../src/http/error.ts"
import { RegistryError } from "../../src/oci/error.ts"

const warningOf = (message: string, status: number, method = "GET") =>
  errorResponse(new RegistryError("UNKNOWN", message, { status }), method).headers.get("warning")

describe("errorResponse()", () => {
  test.each([
    ["Cannot add layer file a.tar: it is no tar archive", '299 - "Cannot add layer file a.tar: it is no tar archive"'],
    ['Cannot use "x\\y"', '299 - "Cannot use \\"x\\\\y\\""'],
    ["line\r\nX-Evil: 1\x7f\u00e9", '299 - "line??X-Evil: 1??"'],
  ])("warns of %j where clients show no body", (message, header) => {
    for (const status of [500, 502, 503]) expect(warningOf(message, status)).toBe(header)
    expect(warningOf(message, 500, "HEAD")).toBe(header)
  })

  test("keeps a warning within what clients read, whatever is in the message", () => {
    expect(warningOf('"'.repeat(10_000), 500)?.length).toBeLessThan(4096)
  })

  test("leaves it to the body where clients show that", () => {
    expect(warningOf("Cannot find it", 404)).toBeNull()
  })
})
