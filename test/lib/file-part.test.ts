import { afterEach, expect, test } from "bun:test"
import { closeSync, openSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fillFrom, REGULAR_FILE } from "../../src/lib/file-part.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const opened: number[] = []
afterEach(() => {
  for (const file of opened.splice(0)) closeSync(file)
})

function open(path: string): number {
  const file = openSync(path, REGULAR_FILE)
  opened.push(file)
  return file
}

test.each([
  ["the whole", 0, 7, "content"],
  ["a part", 3, 2, "te"],
  ["nothing", 7, 0, ""],
])("fillFrom() gives %s of a file", (_, start, length, expected) => {
  const path = join(tempDir(), "file")
  writeFileSync(path, "content")
  const into = new Uint8Array(length)

  expect([fillFrom(open(path), into, start), Buffer.from(into).toString()]).toEqual([true, expected])
})

test("fillFrom() tells that a file is shorter", () => {
  const path = join(tempDir(), "file")
  writeFileSync(path, "content")

  expect(fillFrom(open(path), new Uint8Array(8), 0)).toBe(false)
  expect(fillFrom(open(path), new Uint8Array(1), 7)).toBe(false)
})

test("REGULAR_FILE follows no link, and does not wait for who writes to a pipe", () => {
  const dir = tempDir()
  writeFileSync(join(dir, "file"), "content")
  symlinkSync("file", join(dir, "link"))
  Bun.spawnSync(["mkfifo", join(dir, "pipe")])

  expect(() => open(join(dir, "link"))).toThrow("ELOOP")
  expect(() => fillFrom(open(join(dir, "pipe")), new Uint8Array(1), 0)).toThrow("ESPIPE")
})
