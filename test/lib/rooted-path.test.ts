import { beforeEach, describe, expect, test } from "bun:test"
import { mkdirSync, realpathSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { resolveBelow } from "../../src/lib/rooted-path.ts"
import { tempDir } from "../helpers/temp-dir.ts"

let root: string
beforeEach(() => {
  root = realpathSync(tempDir())
  mkdirSync(join(root, "etc"))
})
const link = (path: string, target: string) => symlinkSync(target, join(root, path))

describe("resolveBelow()", () => {
  test.each([
    ["etc/hosts", "etc/hosts"],
    ["/etc/hosts", "etc/hosts"],
    ["/../../etc/./hosts", "etc/hosts"],
    ["/new/a/b", "new/a/b"],
  ])("%s is %s below the root", (path, expected) => {
    expect(resolveBelow(root, path)).toBe(join(root, expected))
  })

  test.each([
    ["/tmp/evil", "tmp/evil"],
    ["../../../tmp/evil", "tmp/evil"],
    ["static/hosts", "etc/static/hosts"],
    ["..", ""],
  ])("a symlink to %s leads to %s below the root, as on the system itself", (target, expected) => {
    link("etc/hosts", target)
    expect(resolveBelow(root, "/etc/hosts")).toBe(join(root, expected))
  })

  test("symlinks on the way and symlinks to symlinks are followed", () => {
    mkdirSync(join(root, "real"))
    link("one", "/two")
    link("two", "real")
    link("real/file", "../one/other")
    expect(resolveBelow(root, "one/file")).toBe(join(root, "real/other"))
  })

  test("a circle is refused", () => {
    link("a", "b")
    link("b", "a")
    expect(() => resolveBelow(root, "a/file")).toThrow("too many symlinks")
  })
})
