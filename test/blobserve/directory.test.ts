import { describe, expect, test } from "bun:test"
import type { LayerEntry } from "../../src/archive/layer-entry.ts"
import { encodeIndex, LayerIndex } from "../../src/archive/layer-index.ts"
import { listDirectory } from "../../src/blobserve/directory.ts"
import { Fates } from "../../src/blobserve/fates.ts"

function layer(...entries: readonly (readonly [path: string, type?: LayerEntry["type"]])[]): LayerIndex {
  const made = entries.map(([path, type = "file"]): LayerEntry => {
    return { path, type, link: "", mode: 0, mtime: 0, size: 0, offset: 0, sha256: "" }
  })
  return new LayerIndex(encodeIndex(() => made, []))
}

describe("listDirectory()", () => {
  test("gives directories that layers have in common once, and what cannot be seen with the reason", () => {
    const low = layer(["d/a", "directory"], ["d/b"], ["d/c", "directory"], ["d/c/f"])
    const high = layer(["d/.wh.c"], ["d/a", "directory"], ["d/b"])

    const items = listDirectory([low, high], "d").map(({ name, layer: at, fate }) => [name, at, fate?.kind ?? "seen"])
    expect(items).toEqual([
      ["a", 1, "seen"],
      ["b", 1, "seen"],
      ["b", 0, "replaced"],
      ["c", 0, "removed"],
    ])
  })

  test("lists a hundred thousand names before anybody loses patience", () => {
    const names = Array.from({ length: 100_000 }, (_, at) => [`d/${String(at).padStart(6, "0")}`] as const)

    expect(listDirectory([layer(...names)], "d")).toHaveLength(100_000)
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
