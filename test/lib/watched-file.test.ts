import { describe, expect, test } from "bun:test"
import { renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { WatchedFile } from "../../src/lib/watched-file.ts"
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

interface Watched {
  readonly file: WatchedFile<number>
  readonly path: string
  readonly clock: FakeClock
  readonly reloads: () => number
  readonly failures: string[]
}

/** A file that holds a number. */
async function watch(text: string): Promise<Watched> {
  const path = join(tempDir(), "number")
  writeFileSync(path, text)
  const clock = createFakeClock()
  let reloads = 0
  const failures: string[] = []
  const file = await WatchedFile.open({
    path,
    clock,
    parse: (content) => {
      if (!/^\d+$/.test(content)) throw new Error(`no number: ${content}`)
      return Number(content)
    },
    onReload: () => {
      reloads += 1
    },
    onFailure: (error) => void failures.push(String(error)),
  })
  return { file, path, clock, reloads: () => reloads, failures }
}

describe("WatchedFile", () => {
  test("gives the value of the file as it is now", async () => {
    const { file, path, reloads } = await watch("1")

    expect(await file.current()).toBe(1)
    writeFileSync(path, "2")
    expect(await file.current()).toBe(2)
    writeFileSync(path, "3")
    expect(await file.current()).toBe(3)
    expect(reloads()).toBe(2)
    file.close()
  })

  test("sees a rename over the file", async () => {
    const { file, path } = await watch("1")
    writeFileSync(`${path}.new`, "2")
    renameSync(`${path}.new`, path)

    expect(await file.current()).toBe(2)
    file.close()
  })

  test("follows a file again that nobody could look at for a while", async () => {
    const { clock, file, path, failures, reloads } = await watch("1")
    rmSync(path)
    symlinkSync(path, path)
    await until(() => clock.sleeping.length === 1)
    clock.advance(1000)
    await until(() => failures.length === 1 && clock.sleeping.length === 1)
    rmSync(path)
    writeFileSync(path, "2")
    clock.advance(1000)
    await until(() => reloads() === 1)
    file.close()
  })

  test("an unusable text leaves the old value, and is told once", async () => {
    const { file, path, failures, reloads } = await watch("1")
    writeFileSync(path, "x")
    for (let asked = 0; asked < 5; asked += 1) expect(await file.current()).toBe(1)

    expect(failures).toEqual(["Error: no number: x"])
    writeFileSync(path, "y")
    expect(await file.current()).toBe(1)
    expect(failures).toEqual(["Error: no number: x", "Error: no number: y"])
    writeFileSync(path, "2")
    expect(await file.current()).toBe(2)
    expect(reloads()).toBe(1)
    file.close()
  })

  test("the same fault is told again once the file was usable in between", async () => {
    const { file, path, failures } = await watch("1")
    for (const text of ["x", "1", "x"]) {
      writeFileSync(path, text)
      await file.current()
    }

    expect(failures).toEqual(["Error: no number: x", "Error: no number: x"])
    file.close()
  })

  test("a file that is gone leaves the old value, and is told once", async () => {
    const { file, path, failures } = await watch("1")
    rmSync(path)

    expect([await file.current(), await file.current()]).toEqual([1, 1])
    expect(failures).toHaveLength(1)
    expect(failures[0]).toContain("ENOENT")
    writeFileSync(path, "2")
    expect(await file.current()).toBe(2)
    file.close()
  })

  test("looks every second by itself, until it is closed", async () => {
    const { file, path, clock, reloads } = await watch("1")
    await until(() => clock.sleeping.length === 1)
    writeFileSync(path, "2")
    clock.advance(1000)
    await until(() => reloads() === 1)

    file.close()
    await until(() => clock.sleeping.length === 0)
    writeFileSync(path, "3")
    clock.advance(60_000)
    expect(reloads()).toBe(1)
  })

  test("does not open what cannot be used", async () => {
    await expect(watch("x")).rejects.toThrow("no number: x")
  })
})
