import { expect, test } from "bun:test"
import { isLoopbackHost } from "../../src/lib/loopback.ts"

test.each([
  ["localhost", true],
  ["localhost.", true],
  ["localhost:5000", true],
  ["127.0.0.1", true],
  ["127.1.2.3:80", true],
  ["[::1]", true],
  ["[::1]:5000", true],
  ["::1", true],
  ["::1:5000", false],
  ["localhost.example.com", false],
  ["127.0.0.1.nip.io", false],
  ["127.0.0", false],
  ["0.0.0.0", false],
  ["", false],
])("%s: %p", (host, expected) => {
  expect(isLoopbackHost(host)).toBe(expected)
})
