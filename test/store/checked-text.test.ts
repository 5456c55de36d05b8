import { expect, test } from "bun:test"
import { checkedText, withChecksum } from "../../src/store/checked-text.ts"

test("a text is read as it was written, and not at all where any of it is missing or about something else", () => {
  const written = withChecksum("text with spaces\nand lines", "key\n")

  expect(checkedText(written, "key\n")).toBe("text with spaces\nand lines")
  expect(checkedText(written, "other\n")).toBeNull()
  for (let length = 0; length < written.length; length += 1)
    expect(checkedText(written.slice(0, length), "key\n")).toBeNull()
  expect(checkedText(withChecksum(""))).toBe("")
  expect(checkedText("")).toBeNull()
})
