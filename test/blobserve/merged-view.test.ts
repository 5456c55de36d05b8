import { describe, expect, test } from "bun:test"
import { EntryCollector } from "../../src/archive/entry-collector.ts"
import type { LayerTree } from "../../src/archive/layer-entry.ts"
import { encodeIndex, LayerIndex } from "../../src/archive/layer-index.ts"
import { TarReader } from "../../src/archive/tar-reader.ts"
import { resolvePath } from "../../src/blobserve/merged-view.ts"
import { directory, hardlink, type RawEntry, rawTar, symlink, whiteout } from "../helpers/tar-entries.ts"

const file = (name: string, content = name): RawEntry => ({ name, content })
const LIMITS = { maxEntries: 10_000, maxNameBytes: 1e6 }
const hash = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("hex")

/** A layer as a scan leaves it; or as it is in the middle of one, when it is not complete. */
function layer(entries: readonly RawEntry[], isComplete = true): LayerTree {
  const collector = new EntryCollector(LIMITS)
  const reader = new TarReader(collector)
  reader.update(rawTar(entries))
  return isComplete ? new LayerIndex(encodeIndex(() => collector.entries.entries(), [])) : collector.entries
}

/** "file <content>" by its hash among the names given, or the kind of what was found. */
function look(layers: readonly (LayerTree | null)[], path: string, contents: readonly string[] = []): string {
  const found = resolvePath(layers.toReversed(), path)
  if (found.kind !== "file")
    return found.kind === "undecided" ? `undecided ${layers.length - 1 - found.layer}` : found.kind
  return contents.find((text) => hash(text) === found.entry.sha256) ?? found.entry.path
}

describe("resolvePath()", () => {
  test("takes the uppermost of several", () => {
    const layers = [layer([file("a", "low"), file("b", "low b")]), layer([file("a", "high")])]

    expect(look(layers, "a", ["low", "high"])).toBe("high")
    expect(look(layers, "b", ["low b"])).toBe("low b")
    expect(look(layers, "c")).toBe("absent")
  })

  test.each([
    ["a file", [whiteout("d/a")], { "d/a": "absent", "d/b": "d/b", d: "directory" }],
    ["a directory", [whiteout("d")], { "d/a": "absent", "d/b": "absent", d: "absent" }],
    ["all in a directory", [file("d/.wh..wh..opq", "")], { "d/a": "absent", d: "directory" }],
    ["all but what is new", [file("d/.wh..wh..opq", ""), file("d/n")], { "d/a": "absent", "d/n": "d/n" }],
    ["and puts a new one in its place", [whiteout("d/a"), file("d/a", "new")], { "d/a": "new" }],
    ["by a file in place of a directory", [file("d")], { "d/a": "absent", d: "d" }],
    ["only what has the whole name", [whiteout("d/aa"), whiteout("dd")], { "d/a": "d/a", "d/b": "d/b" }],
  ] as const)("hides %s of a lower layer", (_, upper, expected) => {
    const layers = [layer([directory("d"), file("d/a"), file("d/b")]), layer(upper)]

    for (const [path, found] of Object.entries(expected))
      expect([path, look(layers, path, ["new"])]).toEqual([path, found])
  })

  test("never shows whiteouts, nor what is below one", () => {
    const layers = [layer([file("a")]), layer([whiteout("a"), file(".wh..wh.plnk/x")])]

    expect(look(layers, ".wh.a")).toBe("absent")
    expect(look(layers, ".wh..wh.plnk/x")).toBe("absent")
  })

  test("puts back what was hidden in a layer between", () => {
    const layers = [layer([file("d/a", "one")]), layer([whiteout("d")]), layer([file("d/b", "two")])]

    expect(look(layers, "d/a")).toBe("absent")
    expect(look(layers, "d/b", ["two"])).toBe("two")
  })

  test.each([
    ["relative", "d/l", [symlink("d/l", "../t/f")]],
    ["absolute", "d/l", [symlink("d/l", "/t/f")]],
    ["out of the root", "d/l", [symlink("d/l", "../../../../t/f")]],
    ["as a directory on the way", "d/x/f", [symlink("d/x", "/t")]],
    ["to another link", "d/c", [symlink("d/l", "../t/f"), symlink("d/c", "./l")]],
  ])("follows a link %s", (_, path, links) => {
    expect(look([layer([directory("t"), file("t/f"), directory("d"), ...links])], path)).toBe("t/f")
  })

  test("follows a link of a lower layer to a file of an upper one, and the other way round", () => {
    const low = layer([symlink("l", "f"), file("g", "low")])
    const high = layer([file("f", "high"), symlink("k", "g")])

    expect(look([low, high], "l", ["high"])).toBe("high")
    expect(look([low, high], "k", ["low"])).toBe("low")
  })

  test.each([
    ["to itself", [symlink("l", "l")]],
    ["in a circle", [symlink("l", "m"), symlink("m", "l")]],
    ["through itself", [symlink("l", "l/x")]],
    ["to nothing", [symlink("l", "nothing")]],
    ["to no name", [symlink("l", "")]],
    ["below a file", [file("f"), symlink("l", "f/x")]],
    ["to a device", [{ name: "null", flag: "3" }, symlink("l", "null")]],
  ])("finds nothing behind a link %s", (_, entries) => {
    expect(look([layer(entries)], "l")).toBe("absent")
  })

  test("gives up on links that multiply", () => {
    const chain = Array.from({ length: 60 }, (_, index) => symlink(`l${index}`, `l${index + 1}`))

    expect(look([layer([...chain, file("l60")])], "l0")).toBe("absent")
    expect(look([layer([...chain, file("l60")])], "l30")).toBe("l60")
  })

  test("looks a fixed number of times into each layer for each part of a way, however deep it is", () => {
    const dir = Array.from({ length: 45 }, () => "d").join("/")
    const counts = { found: 0 }
    const counted = (tree: LayerTree): LayerTree => ({
      isComplete: tree.isComplete,
      hasBelow: (path) => tree.hasBelow(path),
      entries: () => tree.entries(),
      find: (path) => {
        counts.found += 1
        return tree.find(path)
      },
    })
    const low = layer([file(`${dir}/f`), symlink(`${dir}/l`, "f")])
    const layers = [low, ...Array.from({ length: 10 }, (_, at) => layer([file(`${at}`)]))].map(counted)
    const straight = layers.length * 45 * 3

    expect(look(layers, `${dir}/l`)).toBe(`${dir}/f`)
    expect(counts.found).toBeLessThan(straight + layers.length * 46 * 6)
  })

  test("gives up on a link that goes to and fro for ever", () => {
    const chain = Array.from({ length: 38 }, (_, at) => symlink(`m${at}`, `${"d/../".repeat(18)}m${at + 1}`))
    const layers = [layer([directory("d"), ...chain, file("m38")])]

    expect(look(layers, "m15")).toBe("m38")
    expect(look(layers, "m0")).toBe("absent")
  })

  test("sees through a link to a directory what an upper layer has put below it without an entry of its own", () => {
    const low = layer([directory("usr"), directory("usr/lib"), file("usr/lib/a"), symlink("lib", "usr/lib")])
    const high = layer([file("lib/b")])

    expect(look([low, high], "lib/a")).toBe("usr/lib/a")
    expect(look([low, high], "lib/b")).toBe("lib/b")
  })

  test("lets a directory with an entry of its own replace a link", () => {
    const low = layer([directory("usr"), file("usr/a"), symlink("d", "usr")])
    const high = layer([directory("d"), file("d/b")])

    expect(look([low, high], "d/a")).toBe("absent")
    expect(look([low, high], "d/b")).toBe("d/b")
  })

  test("binds a hard link to what its target was when its layer came", () => {
    const layers = [
      layer([file("f", "one"), hardlink("same", "f")]),
      layer([hardlink("kept", "f")]),
      layer([file("f", "two"), hardlink("late", "f")]),
      layer([whiteout("f")]),
    ]

    const contents = ["one", "two"]
    expect(look(layers, "same", contents)).toBe("one")
    expect(look(layers, "kept", contents)).toBe("one")
    expect(look(layers, "late", contents)).toBe("two")
    expect(look(layers, "f", contents)).toBe("absent")
    expect(look([layer([hardlink("l", "nothing")])], "l")).toBe("absent")
    expect(look([layer([hardlink("a", "b")]), layer([hardlink("b", "a")])], "b")).toBe("absent")
  })

  test("looks at no more layers than the path needs", () => {
    const top = layer([
      directory("app"),
      file("app/index.html"),
      whiteout("gone"),
      directory("top"),
      file("top/.wh..wh..opq", ""),
    ])

    expect(look([null, top], "app/index.html")).toBe("app/index.html")
    expect(look([null, top], "gone/file")).toBe("absent")
    expect(look([null, top], "top/file")).toBe("absent")
    expect(look([null, top], "app/other")).toBe("undecided 0")
    expect(look([null, layer([]), top], "app/other")).toBe("undecided 0")
    expect(look([layer([file("app/other")]), null, top], "app/other")).toBe("undecided 1")
  })

  test("waits for a layer that is not complete, unless it has the file already", () => {
    const low = layer([file("b")])
    const half = layer([file("a")], false)

    expect(look([low, half], "a")).toBe("a")
    expect(look([low, half], "b")).toBe("undecided 1")
  })
})

describe("entries of one archive", () => {
  test("a later entry replaces an earlier one, with all that was below it", () => {
    const tree = layer([directory("d"), file("d/a"), file("d", "now a file"), directory("d"), file("d/b")])

    expect(look([tree], "d/a")).toBe("absent")
    expect(look([tree], "d/b")).toBe("d/b")
  })

  test("what is below a link of the same archive goes to where it points", () => {
    const tree = layer([
      directory("real"),
      symlink("link", "real"),
      file("link/f"),
      symlink("out", "../../.."),
      file("out/g"),
    ])

    expect(look([tree], "real/f")).toBe("real/f")
    expect(look([tree], "link/f")).toBe("real/f")
    expect(look([tree], "g")).toBe("g")
  })

  test.each([["../../etc/passwd"], ["/etc/passwd"], ["./etc/./passwd"], ["a/../etc/passwd"], ["etc//passwd"]])(
    "%s stays inside",
    (name) => {
      expect(look([layer([file(name)])], "etc/passwd")).toBe("etc/passwd")
    },
  )
})
