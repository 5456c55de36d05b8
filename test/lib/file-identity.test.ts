import { describe, expect, test } from "bun:test"
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { identifyFile } from "../../src/lib/file-identity.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

describe("identifyFile()", () => {
  test("is the same as long as nothing changes, and then it is another", () => {
    const path = join(tempDir(), "file")
    writeFileSync(path, "one")
    const before = identifyFile(path)?.text

    expect(identifyFile(path)?.text).toBe(before ?? "missing")
    writeFileSync(path, "longer")
    expect(identifyFile(path)?.text).not.toBe(before ?? "missing")
  })

  test("sees a replacement that has the same size and time", () => {
    const dir = tempDir()
    for (const name of ["a", "b"]) {
      writeFileSync(join(dir, name), name)
      utimesSync(join(dir, name), 1, 1)
    }
    const before = identifyFile(join(dir, "a"))?.text
    renameSync(join(dir, "b"), join(dir, "a"))

    expect(identifyFile(join(dir, "a"))?.text).not.toBe(before ?? "missing")
  })

  test("follows symlinks", () => {
    const dir = tempDir()
    for (const name of ["v1", "v2"]) {
      mkdirSync(join(dir, name))
      writeFileSync(join(dir, name, "file"), name)
    }
    symlinkSync("v1", join(dir, "data"))
    const before = identifyFile(join(dir, "data", "file"))?.text
    rmSync(join(dir, "data"))
    symlinkSync("v2", join(dir, "data"))

    expect(identifyFile(join(dir, "data", "file"))?.text).not.toBe(before ?? "missing")
  })

  test("tells nothing of what is no file", () => {
    const dir = tempDir()
    symlinkSync("nowhere", join(dir, "dangling"))
    symlinkSync("circle", join(dir, "circle"))

    expect(identifyFile(dir)).toBeNull()
    expect(identifyFile(join(dir, "missing"))).toBeNull()
    expect(identifyFile(join(dir, "circle"))).toBeNull()
    expect(identifyFile(join(dir, "dangling"))).toBeNull()
  })

  test("proves nothing while the file is young", async () => {
    const path = join(tempDir(), "file")
    writeFileSync(path, "one")

    expect(identifyFile(path)?.isYoung).toBe(true)
    await until(() => identifyFile(path)?.isYoung === false)
  })
})
