import { expect, test } from "bun:test"
import { readRateLimit } from "../../src/upstream/rate-limit.ts"

test.each([
  ["100;w=21600", 100],
  ["76", 76],
  ["0;w=21600", 0],
  [" 5 ", 5],
  ["5, 6", 5],
  ["-1", null],
  ["1e9", null],
  ["99999999999", null],
  ["many", null],
  ["", null],
])("readRateLimit() reads %j as %j", (header, count) => {
  const headers = new Headers({ "ratelimit-limit": header, "ratelimit-remaining": header })

  expect(readRateLimit(headers)).toEqual({ limit: count, remaining: count })
  expect(readRateLimit(new Headers())).toEqual({ limit: null, remaining: null })
})
