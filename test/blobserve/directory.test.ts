import { describe, expect, test } from "bun:test"
import type { LayerChild, LayerEntry } from "../../src/archive/layer-entry.ts"
import { encodeIndex, LayerIndex } from "../../src/archive/layer-index.ts"
import { type DirectoryItem, type DirectoryPage, listDirectory } from "../../src/blobserve/directory.ts"
import { Fates } from "../../src/blobserve/fates.ts"

type Named = readonly [path: string, type?: LayerEntry["type"]]

const entries = (names: readonly Named[]): readonly LayerEntry[] =>
  names.map(([path, type = "file"]) => {
    return { path, type, link: "", mode: 0, mtime: 0, size: 0, offset: 0, sha256: "" }
  })

const layer = (...names: readonly Named[]): LayerIndex => new LayerIndex(encodeIndex(() => entries(names), []))

/** An index that counts what is taken of it. */
class CountedIndex extends LayerIndex {
  taken = 0

  override *children(path: string, after?: string): Generator<LayerChild> {
    for (const child of super.children(path, after)) {
      this.taken += 1
      yield child
    }
  }
}

/** Every page, by the address that the one before it gives. */
async function pages(layers: readonly LayerIndex[], path: string): Promise<readonly (readonly DirectoryItem[])[]> {
  const all: (readonly DirectoryItem[])[] = []
  for (let after: string | null = ""; after !== null; ) {
    const page: DirectoryPage = await listDirectory(layers, path, after)
    all.push(page.items)
    after = page.next
  }
  return all
}

const numbered = (count: number, prefix = "d/") =>
  Array.from({ length: count }, (_, at) => [`${prefix}${String(at).padStart(6, "0")}`] as const)

describe("listDirectory()", () => {
  test("gives directories that layers have in common once, and what cannot be seen with the reason", async () => {
    const low = layer(["d/a", "directory"], ["d/b"], ["d/c", "directory"], ["d/c/f"])
    const high = layer(["d/.wh.c"], ["d/a", "directory"], ["d/b"])

    const { items, next } = await listDirectory([low, high], "d")
    expect(items.map(({ name, layer: at, fate }) => [name, at, fate?.kind ?? "seen"])).toEqual([
      ["a", 1, "seen"],
      ["b", 1, "seen"],
      ["b", 0, "replaced"],
      ["c", 0, "removed"],
    ])
    expect(next).toBeNull()
  })

  test("lists a hundred thousand names before anybody loses patience", async () => {
    const all = await pages([layer(...numbered(100_000))], "d")

    expect(all.flat()).toHaveLength(100_000)
    expect(all.map(({ length }) => length)).toEqual(all.map(() => 5000))
  })

  test("looks at no more of a directory than it gives, wherever in it", async () => {
    const whiteouts = numbered(20_000, "d/.wh.")
    const low = new CountedIndex(encodeIndex(() => entries(numbered(20_000)), []))
    const high = new CountedIndex(encodeIndex(() => entries([...whiteouts, ...numbered(20_000)]), []))

    for (const after of ["", "010000", "015000"]) {
      low.taken = 0
      high.taken = 0
      const { items } = await listDirectory([low, high], "d", after)
      expect(items).toHaveLength(5000)
      expect(Math.max(low.taken, high.taken)).toBeLessThanOrEqual(2503)
    }
  })

  test("never divides what one name stands for in several layers", async () => {
    const layers = [layer(...numbered(3000)), layer(...numbered(3000)), layer(...numbered(3000))]

    expect((await pages(layers, "d")).map((items) => [items.length, items.at(-1)?.layer])).toEqual([
      [4998, 0],
      [4002, 0],
    ])
  })

  test("gives less of names so long that the answer would be large", async () => {
    const deep = Array.from({ length: 16 }, () => "d".repeat(240)).join("/")
    const all = await pages([layer(...numbered(1000, `${deep}/`))], deep)

    expect(all.flat()).toHaveLength(1000)
    expect(Math.max(...all.map(({ length }) => length))).toBe(271)
  })

  test.each([["a"], [""], ["a-b"], ["a-/"], ["\xff"], ["a".repeat(300)]])("begins after %j", async (after) => {
    const names = ["a", "a b", "a-", "a-b", "a.b", "a0", "b"]
    const low = layer(...names.map((name) => [`d/${name}`] as const).toSorted())

    expect((await listDirectory([low], "d", after)).items.map(({ name }) => name)).toEqual(
      names.filter((name) => name > after),
    )
  })
})

describe("LayerIndex.children()", () => {
  test("gives the names of a directory in their order, whatever they begin with and whatever is below them", () => {
    let state = 1
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return Math.floor((state / 2 ** 32) * below)
    }
    const text = () =>
      Array.from({ length: 1 + random(3) }, () => ["a", "-", "0", " ", ".", "\xe9"][random(6)]).join("")
    for (let round = 0; round < 300; round += 1) {
      const paths = new Set(
        Array.from({ length: 1 + random(12) }, () => Array.from({ length: 1 + random(3) }, text).join("/")),
      )
      const index = layer(...[...paths].toSorted().map((path) => [path] as const))
      for (const dir of ["", ...[...paths].map((path) => path.split("/")[0] ?? "")]) {
        const prefix = dir === "" ? "" : `${dir}/`
        const below = [...paths].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length))
        const names = [...new Set(below.map((path) => path.split("/")[0] ?? ""))].toSorted()
        for (const after of ["", text(), ...names]) {
          const expected = names.filter((name) => name > after).map((name) => [name, paths.has(prefix + name)])
          const given = [...index.children(dir, after)].map(({ entry, name }) => [name, entry !== null])
          expect([[...paths], dir, after, given]).toEqual([[...paths], dir, after, expected])
        }
      }
    }
  })
})

describe("Fates", () => {
  test("is that of the nearest layer, whatever it does to a directory on the way", () => {
    const layers = [
      layer(["a/b/f"], ["a/c/f"], ["x/f"], ["y"]),
      layer(["a/b/.wh..wh..opq"], ["a/c", "symlink"], ["y", "directory"]),
      layer([".wh.x"], ["a/.wh.b"], ["a/.wh.c"]),
    ]
    const fates = new Fates(layers, 0)

    expect(fates.of("a/b/f", false)).toEqual({ kind: "removed", by: 1 })
    expect(fates.of("a/c/f", false)).toEqual({ kind: "replaced", by: 1 })
    expect(fates.of("x/f", false)).toEqual({ kind: "removed", by: 2 })
    expect(fates.of("y", false)).toEqual({ kind: "replaced", by: 1 })
    expect(new Fates(layers, 2).of("a/.wh.b", false)).toBeNull()
  })

  test("looks at each directory once, however many entries are in it and below it", () => {
    const deep = Array.from({ length: 100 }, () => "d").join("/")
    const layers = [layer(), ...Array.from({ length: 10 }, () => layer(["x"]))]
    const fates = new Fates(layers, 0)

    for (let at = 0; at < 500; at += 1) expect(fates.of(`${deep}/${at}`, false)).toBeNull()
    expect(fates.looks).toBe(10 * (1 + 100 + 500))
  })
})
