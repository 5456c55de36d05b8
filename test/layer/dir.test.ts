import { describe, expect, test } from "bun:test"
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { dirname, join } from "node:path"
import { DirLayerSource } from "../../src/layer/dir.ts"
import type { LayerRequest } from "../../src/layer/layer.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { readTar } from "../helpers/archives.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { sha256 } from "../helpers/images.ts"
import { AMD64, fromSource, never, onlyLayer } from "../helpers/layers.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { createWorkshop } from "../helpers/workshop.ts"

const request = (path: string, dest = "/") => ({ kind: "dir", path, dest, text: "dir" }) as const

/** A text is a file, `-> target` a symlink, null an empty directory. */
function make(tree: Readonly<Record<string, string | null>>, dir = tempDir()): string {
  for (const [path, content] of Object.entries(tree)) {
    const full = join(dir, path)
    mkdirSync(content === null ? full : dirname(full), { recursive: true, mode: 0o755 })
    if (content?.startsWith("-> ")) symlinkSync(content.slice(3), full)
    else if (content !== null) writeFileSync(full, content, { mode: 0o644 })
  }
  return dir
}

async function contribute(path: string, dest?: string) {
  const workshop = await createWorkshop()
  const source = new DirLayerSource(workshop, systemClock)
  const layer = onlyLayer(await source.contribute(request(path, dest), AMD64, never))
  const bytes = (await workshop.kept(layer.descriptor)) ?? new Uint8Array()
  return { layer, bytes, entries: await readTar(bytes) }
}
const names = (entries: readonly { readonly name: string }[]) => entries.map(({ name }) => name)

describe("DirLayerSource", () => {
  test("a directory is an archive of its files and symlinks", async () => {
    const dir = make({
      "etc/motd": "hello",
      "bin/tool": "#!/bin/sh",
      "bin/link": "-> tool",
      abs: "-> /etc/motd",
      gone: "-> ../x",
    })
    chmodSync(join(dir, "bin/tool"), 0o755)
    const { entries, layer, bytes } = await contribute(dir)

    expect(entries).toEqual([
      { name: "abs", type: "symlink", mode: 0o777, content: "/etc/motd" },
      { name: "bin/link", type: "symlink", mode: 0o777, content: "tool" },
      { name: "bin/tool", type: "file", mode: 0o755, content: "#!/bin/sh" },
      { name: "etc/motd", type: "file", mode: 0o644, content: "hello" },
      { name: "gone", type: "symlink", mode: 0o777, content: "../x" },
    ])
    expect(layer.diffID as string).toBe(sha256(bytes))
    expect(layer.descriptor.digest as string).toBe(sha256(bytes))
  })

  test("the same content gives the same bytes, whatever its times, places and order", async () => {
    const tree = { "b/2": "two", "a/1": "one", c: "-> b/2", empty: null }
    const one = make(tree)
    const other = make(Object.fromEntries(Object.entries(tree).reverse()))
    for (const name of readdirSync(other, { recursive: true, encoding: "utf8" })) {
      if (name === "c") lutimesSync(join(other, name), 1, 1)
      else utimesSync(join(other, name), 1, 1)
    }

    expect((await contribute(other)).layer.descriptor).toEqual((await contribute(one)).layer.descriptor)
  })

  test("the umask of the process makes no difference", async () => {
    const dir = make({ "a/1": "one", b: "two" })
    const before = await contribute(dir)
    const umask = process.umask(0o077)
    try {
      expect((await contribute(dir)).layer.descriptor).toEqual(before.layer.descriptor)
    } finally {
      process.umask(umask)
    }
  })

  test("directories that hold something get no entry, as nothing is known of those that the image has", async () => {
    const { entries } = await contribute(make({ "usr/local/bin/tool": "x", "var/empty": null, "var/log/deep": null }))

    expect(names(entries)).toEqual(["usr/local/bin/tool", "var/empty/", "var/log/deep/"])
  })

  test("directories that a group may write, as many systems make them, are as good as others", async () => {
    const dir = make({ "usr/bin/tool": "x", "usr/empty": null })
    for (const name of ["usr", "usr/bin", "usr/empty"]) chmodSync(join(dir, name), 0o775)

    expect(names((await contribute(dir)).entries)).toEqual(["usr/bin/tool", "usr/empty/"])
  })

  test("directories with permissions of their own get an entry, with these", async () => {
    const dir = make({ "tmp/x": "x", "private/x": "x", "usr/x": "x" })
    chmodSync(join(dir, "tmp"), 0o1777)
    chmodSync(join(dir, "private"), 0o700)
    const { entries } = await contribute(dir)

    expect(entries.map(({ name, mode }) => `${name} ${mode.toString(8)}`)).toEqual([
      "private/ 700",
      "private/x 644",
      "tmp/ 1777",
      "tmp/x 644",
      "usr/x 644",
    ])
  })

  test.each([
    ["/", "a"],
    ["", "a"],
    ["/opt/tool", "opt/tool/a"],
    ["opt/tool/", "opt/tool/a"],
  ])("dest %j puts a file to %s", async (dest, expected) => {
    expect(names((await contribute(make({ a: "x" }), dest)).entries)).toEqual([expected])
  })

  test("hard links are files of their own, and what is no file is left out", async () => {
    const dir = make({ a: "x" })
    linkSync(join(dir, "a"), join(dir, "b"))
    Bun.spawnSync(["mkfifo", join(dir, "pipe")])
    const { entries } = await contribute(dir)

    expect(entries.map(({ name, type, content }) => [name, type, content])).toEqual([
      ["a", "file", "x"],
      ["b", "file", "x"],
    ])
  })

  test("names of any kind and length survive", async () => {
    const long = `${"d".repeat(120)}/${"f".repeat(120)}`
    const { entries } = await contribute(make({ [long]: "x", "größe ❤\n": "y" }))

    expect(names(entries)).toEqual([long, "größe ❤\n"])
  })

  test("an empty directory is an archive that holds nothing", async () => {
    const { entries, layer } = await contribute(tempDir())

    expect(entries).toEqual([])
    expect(layer.descriptor.size).toBe(1024)
  })

  test.each([
    ["is missing", () => join(tempDir(), "missing"), "ENOENT"],
    ["is a file", () => join(make({ a: "x" }), "a"), "ENOTDIR"],
  ])("refuses what %s", async (_, path, reason) => {
    await expect(contribute(path())).rejects.toThrow(`Cannot add layer dir dir: ${reason}`)
  })

  test("the same bytes can be made again while nothing has changed, and then it fails", async () => {
    const dir = make({ a: "x".repeat(2000) })
    const { layer, bytes } = await contribute(dir)

    expect(sha256((await fromSource(layer)) ?? "")).toBe(layer.descriptor.digest)
    expect(Buffer.from((await fromSource(layer, 700)) ?? []).equals(bytes.subarray(700))).toBe(true)
    writeFileSync(join(dir, "a"), "y")
    await expect(fromSource(layer)).rejects.toThrow("a changed while it was read")
  })
})

describe("a directory that changes", () => {
  async function watch(dir: string) {
    const workshop = await createWorkshop()
    const clock = createFakeClock()
    let reads = 0
    const openSpool = (size: number | null) => {
      reads += 1
      return workshop.openSpool(size)
    }
    const source = new DirLayerSource({ ...workshop, openSpool }, clock)
    const wanted: Extract<LayerRequest, { kind: "dir" }> = request(dir)
    const digest = async () => onlyLayer(await source.contribute(wanted, AMD64, never)).descriptor.digest as string
    return { digest, reads: () => reads }
  }

  test.each([
    ["content of the same size", (dir: string) => writeFileSync(join(dir, "sub/a"), "2")],
    ["a new file", (dir: string) => writeFileSync(join(dir, "sub/b"), "1")],
    ["a file less", (dir: string) => rmSync(join(dir, "sub/c"))],
    ["permissions", (dir: string) => chmodSync(join(dir, "sub/a"), 0o755)],
    [
      "a link to elsewhere",
      (dir: string) => {
        rmSync(join(dir, "l"))
        symlinkSync("y", join(dir, "l"))
      },
    ],
    ["permissions of a directory", (dir: string) => chmodSync(join(dir, "sub"), 0o700)],
  ])("is seen at once: %s", async (_, change) => {
    const dir = make({ "sub/a": "1", "sub/c": "1", l: "-> x" })
    const { digest } = await watch(dir)
    const before = await digest()
    change(dir)

    expect(await digest()).not.toBe(before)
  })

  test("content that is written again and again in the same millisecond is seen each time", async () => {
    const dir = make({ a: "00" })
    const { digest } = await watch(dir)
    const seen = new Set<string>()
    for (let version = 10; version < 40; version += 1) {
      writeFileSync(join(dir, "a"), String(version))
      seen.add(await digest())
    }

    expect(seen.size).toBe(30)
  })

  test("one that stays is read once", async () => {
    const dir = make({ a: "1" })
    const { digest, reads } = await watch(dir)
    await until(async () => {
      const before = reads()
      await digest()
      return reads() === before
    })
    const before = reads()
    for (let asked = 0; asked < 5; asked += 1) await digest()

    expect(reads()).toBe(before)
  })
})
