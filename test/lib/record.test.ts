import { expect, test } from "bun:test"
import { isRecord } from "../../src/lib/record.ts"

test.each<[value: unknown, is: boolean]>([
  [{}, true],
  [{ a: 1 }, true],
  [[], false],
  [null, false],
  ["text", false],
  [undefined, false],
])("%p is a record: %p", (value, is) => {
  expect(isRecord(value)).toBe(is)
})
