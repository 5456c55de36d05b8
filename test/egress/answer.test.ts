import { describe, expect, test } from "bun:test"
import { failedRequest, parseRetryAfter, readRetryAfter, refusedAnswer } from "../../src/egress/answer.ts"
import { EgressError, type EgressFault } from "../../src/egress/egress.ts"

const NOW = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT")

describe("parseRetryAfter()", () => {
  test.each([
    ["0", 0],
    ["3", 3],
    [" 120 ", 120],
    ["Wed, 21 Oct 2026 07:28:05 GMT", 5],
    ["Wed, 21 Oct 2026 07:27:00 GMT", 0],
    ["Wednesday, 21-Oct-26 07:28:09 GMT", 9],
    ["", null],
    ["soon", null],
    ["-1", null],
    ["99999999999", null],
    ["1e3", null],
  ])("%j is %j seconds", (header, seconds) => {
    expect(parseRetryAfter(header, NOW)).toBe(seconds)
  })

  test("no header is no wish", () => {
    expect(parseRetryAfter(null, NOW)).toBeNull()
  })
})

describe("readRetryAfter()", () => {
  test("a date counts from the peer's own clock, which may be wrong", () => {
    const headers = { date: "Thu, 01 Jan 2015 00:00:00 GMT", "retry-after": "Thu, 01 Jan 2015 00:00:07 GMT" }

    expect(readRetryAfter(new Headers(headers))).toBe(7)
  })
})

describe("refusedAnswer()", () => {
  test.each([
    [401, 403, "DENIED", /check that the repository exists, and that the credentials for x.io may read it$/],
    [403, 403, "DENIED", /check that the repository exists/],
    [429, 429, "TOOMANYREQUESTS", /credentials or a mirror may raise it$/],
    [408, 503, "UNAVAILABLE", /try again$/],
    [500, 503, "UNAVAILABLE", /try again$/],
    [503, 503, "UNAVAILABLE", /try again$/],
    [418, 502, "UNKNOWN", /is it a registry\?$/],
    [204, 502, "UNAVAILABLE", /is it a registry\?$/],
  ])("%s becomes %s, with the host, its status and a hint", (status, ours, code, hint) => {
    const error = refusedAnswer("Cannot get x.io/a:1", "x.io", status, new Headers())

    expect([error.status, error.code]).toEqual([ours, code] as never)
    expect(error.message).toStartWith(`Cannot get x.io/a:1: x.io answered ${status}`)
    expect(error.message).toMatch(hint)
  })
})

describe("failedRequest()", () => {
  test.each([
    ["denied", 403, "DENIED", false],
    ["tls", 503, "UNAVAILABLE", false],
    ["busy", 429, "TOOMANYREQUESTS", true],
    ["silent", 504, "UNAVAILABLE", true],
    ["network", 503, "UNAVAILABLE", true],
    ["answer", 503, "UNAVAILABLE", true],
  ] as [EgressFault, number, string, boolean][])("%s becomes %s %s", (fault, status, code, mayPass) => {
    const error = failedRequest("Cannot get x", "x.io", new EgressError(fault, "x.io did this", { askedMs: 7000 }))

    expect([error.status, error.code, error.mayPass]).toEqual([status, code, mayPass] as never)
    expect(error.message).toStartWith("Cannot get x: x.io did this")
    if (mayPass) expect(error.retryAfterSeconds).toBeGreaterThanOrEqual(7)
  })

  test("what is no failure of a request is not made one", () => {
    expect(() => failedRequest("Cannot get x", "x.io", new TypeError("a bug"))).toThrow("a bug")
  })
})
