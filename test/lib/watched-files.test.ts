import { describe, expect, test } from "bun:test"
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { WatchedFiles } from "../../src/lib/watched-files.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { tempDir } from "../helpers/temp-dir.ts"

/** Two files that belong together when they hold the same text. */
async function watch(dir: string) {
  const paths = [join(dir, "lock"), join(dir, "key")]
  const seen: string[] = []
  const failures: string[] = []
  const files = await WatchedFiles.open({
    paths,
    clock: createFakeClock(),
    looksBeforeFailure: 2,
    parse: ([lock = "", key = ""]) => {
      if (lock !== key) throw new Error(`${key} does not open ${lock}`)
      return lock
    },
    onReload: (value) => void seen.push(value),
    onFailure: (error) => void failures.push(String(error)),
  })
  const write = (name: string, text: string) => writeFileSync(join(dir, name), text)
  return { files, seen, failures, write }
}

function withPair(text: string): string {
  const dir = tempDir()
  for (const name of ["lock", "key"]) writeFileSync(join(dir, name), text)
  return dir
}

describe("WatchedFiles", () => {
  test("keeps the old value while files are replaced one after the other, and tells no failure", async () => {
    const { files, seen, failures, write } = await watch(withPair("old"))
    write("lock", "new")
    const between = await files.current()
    write("key", "new")
    const after = await files.current()

    expect([between, after, files.latest]).toEqual(["old", "new", "new"])
    expect(seen).toEqual(["new"])
    expect(failures).toEqual([])
    files.close()
  })

  test("tells a failure that stays, once", async () => {
    const { files, failures, write } = await watch(withPair("old"))
    write("lock", "new")
    for (let look = 0; look < 5; look += 1) expect(await files.current()).toBe("old")
    const told = [...failures]
    write("lock", "newer")
    for (let look = 0; look < 5; look += 1) await files.current()

    expect(told).toEqual(["Error: old does not open new"])
    expect(failures).toEqual(["Error: old does not open new", "Error: old does not open newer"])
    files.close()
  })

  test("follows the links of a Kubernetes volume, which are swapped at once", async () => {
    const dir = tempDir()
    const version = (name: string) => {
      mkdirSync(join(dir, name))
      for (const file of ["lock", "key"]) writeFileSync(join(dir, name, file), name)
      symlinkSync(name, join(dir, "..data.new"))
      renameSync(join(dir, "..data.new"), join(dir, "..data"))
    }
    version("..2026_01")
    for (const file of ["lock", "key"]) symlinkSync(`..data/${file}`, join(dir, file))
    const { files, failures } = await watch(dir)
    const before = await files.current()
    version("..2026_02")

    expect([before, await files.current()]).toEqual(["..2026_01", "..2026_02"])
    expect(failures).toEqual([])
    files.close()
  })
})
