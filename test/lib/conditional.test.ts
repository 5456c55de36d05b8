import { describe, expect, test } from "bun:test"
import { allowsRange, isUnmodified, matchesNone } from "../../src/lib/conditional.ts"

const TAG = "sha256:abc"

describe("matchesNone()", () => {
  test.each([
    [null, false],
    ["", false],
    ["*", true],
    [" * ", true],
    ['"sha256:abc"', true],
    ['W/"sha256:abc"', true],
    ["sha256:abc", true],
    ['"x", "sha256:abc"', true],
    ['"x",W/"sha256:abc" ,"y"', true],
    ['"sha256:abcd"', false],
    ['"x"', false],
    ['"sha256:abc', false],
    ['w/"sha256:abc"', false],
  ])("If-None-Match %j: %p", (header, expected) => {
    expect(matchesNone(header, TAG)).toBe(expected)
  })
})

describe("allowsRange()", () => {
  test.each([
    [null, true],
    ['"sha256:abc"', true],
    ["sha256:abc", true],
    ['W/"sha256:abc"', false],
    ['"x"', false],
    ["Wed, 21 Oct 2015 07:28:00 GMT", false],
    ["*", false],
  ])("If-Range %j: %p", (header, expected) => {
    expect(allowsRange(header, TAG)).toBe(expected)
  })
})

describe("isUnmodified()", () => {
  test.each([
    [null, false],
    ["", false],
    ["Wed, 21 Oct 2015 07:28:00 GMT", true],
    ["Wednesday, 21-Oct-15 07:28:00 GMT", true],
    ["Wed, 21 Oct 2015 07:27:59 GMT", false],
    ["Wed, 21 Oct 2015 07:28:01 GMT", false],
    ["never", false],
  ])("If-Modified-Since %j: %p", (header, expected) => {
    expect(isUnmodified(header, "Wed, 21 Oct 2015 07:28:00 GMT")).toBe(expected)
  })
})
