import { describe, expect, test } from "bun:test"
import { LayerEntries } from "../../src/archive/layer-entries.ts"
import type { LayerEntry } from "../../src/archive/layer-entry.ts"

const entry = (path: string, type: LayerEntry["type"] = "file", link = ""): LayerEntry => {
  return { path, type, link, mode: 0, mtime: 0, size: 0, offset: 0, sha256: "" }
}

function entriesOf(...added: readonly LayerEntry[]): LayerEntries {
  const entries = new LayerEntries()
  for (const one of added) entries.add(one)
  return entries
}

describe("LayerEntries", () => {
  test("knows every directory on the way to an entry, with and without an entry of its own", () => {
    const entries = entriesOf(entry("a/b/c/f"), entry("a/b/g"), entry("x", "directory"))

    for (const path of ["", "a", "a/b", "a/b/c"]) expect([path, entries.hasBelow(path)]).toEqual([path, true])
    for (const path of ["a/b/c/f", "a/b/g", "x", "b"]) expect([path, entries.hasBelow(path)]).toEqual([path, false])
    expect(entries.parents).toBe(3)
  })

  test("forgets what was below a directory that something else replaces, and takes what comes after", () => {
    const entries = entriesOf(entry("a/b/c/f"), entry("a/bb/f"), entry("ab/f"), entry("a"))

    for (const path of ["a", "a/b", "a/b/c", "a/bb"]) expect([path, entries.hasBelow(path)]).toEqual([path, false])
    expect(entries.find("a/b/c/f")).toBeNull()
    expect(entries.find("ab/f")).not.toBeNull()

    entries.add(entry("a/b/f"))
    expect(["a", "a/b", "a/b/c", "a/bb"].map((path) => entries.hasBelow(path))).toEqual([true, true, false, false])
    expect([...entries.entries()].map(({ path }) => path)).toEqual(["a", "a/b/f", "ab/f"])
  })

  test("puts what is below symlinks where they point, whatever stands there", () => {
    const entries = entriesOf(
      entry("etc/a/f"),
      entry("l", "symlink", "etc"),
      entry("etc/m", "symlink", "/usr/n/../lib"),
      entry("usr/up", "symlink", ".."),
    )

    expect(entries.place("l")).toBe("l")
    expect(entries.place("l/a/f")).toBe("etc/a/f")
    expect(entries.place("l/a/b/c")).toBe("etc/a/b/c")
    expect(entries.place("l/m")).toBe("etc/m")
    expect(entries.place("l/m/x/y")).toBe("usr/lib/x/y")
    expect(entries.place("usr/up/l/m/x")).toBe("usr/lib/x")
    expect(entries.place("usr/up/f")).toBe("f")
  })

  test("refuses places that are deeper or longer than any system takes, however short the names are", () => {
    const deep = (name: string, parts: number) => `${`${name}/`.repeat(parts)}f`
    expect(entriesOf().place(deep("a", 255))).toHaveLength(511)
    expect(() => entriesOf().place(deep("a", 256))).toThrow("more than 256 parts")

    const links = entriesOf(entry("l", "symlink", deep("a", 200)), entry("m", "symlink", deep("b".repeat(200), 19)))
    expect(() => links.place(`l/${deep("a", 60)}`)).toThrow("more than 256 parts")
    expect(() => links.place(`m/${deep("b".repeat(200), 10)}`)).toThrow("more than 4096 bytes")
  })
})
