import { describe, expect, test } from "bun:test"
import { appendFileSync, lstatSync, readFileSync, readlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { extract, type Header } from "tar-stream"
import { TAR_BLOCK, TAR_END, type TarEntry, tarHeader, tarPadding } from "../../src/oci/tar.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const GiB = 1024 ** 3

/** Like GNU tar, and only it. */
const hasGnuTar = Bun.spawnSync(["sh", "-c", "tar --version 2>/dev/null"]).stdout.toString().includes("GNU tar")

const file = (path: string, text = "", mode = 0o644): readonly [TarEntry, string] => [
  { type: "file", path, mode, size: new TextEncoder().encode(text).byteLength, target: "" },
  text,
]
const directory = (path: string, mode = 0o755): readonly [TarEntry, string] => [
  { type: "directory", path, mode, size: 0, target: "" },
  "",
]
const symlink = (path: string, target: string): readonly [TarEntry, string] => [
  { type: "symlink", path, mode: 0o777, size: 0, target },
  "",
]

function archive(items: readonly (readonly [TarEntry, string])[]): Uint8Array {
  const parts = items.flatMap(([entry, text]) => {
    const content = new TextEncoder().encode(text)
    return [tarHeader(entry), content, tarPadding(content.byteLength)]
  })
  return Buffer.concat([...parts, TAR_END])
}

interface Read {
  readonly header: Header
  readonly text: string
}

async function readBack(bytes: Uint8Array): Promise<readonly Read[]> {
  const reader = extract()
  const found: Read[] = []
  reader.end(bytes)
  for await (const entry of reader) {
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    found.push({ header: entry.header, text: Buffer.concat(chunks).toString() })
  }
  return found
}

const PATHS = [
  ["plain", "etc/motd"],
  ["100 bytes", "a".repeat(100)],
  ["101 bytes without a slash", "a".repeat(101)],
  ["255 bytes in ustar's two fields", `${"p".repeat(154)}/${"n".repeat(100)}`],
  ["256 bytes", `${"p".repeat(155)}/${"n".repeat(100)}`],
  ["a name field that is too long", `p/${"n".repeat(101)}`],
  ["a prefix that is too long", `${"p".repeat(156)}/n`],
  ["many short parts", Array(60).fill("dir").join("/")],
  ["1000 bytes", `${"d/".repeat(450)}${"n".repeat(100)}`],
  ["letters outside ASCII", "Grüße/日本語/🚀.txt"],
  ["a space and a newline", "a b\nc"],
  ["an equals sign", `x=${"y=".repeat(60)}`],
  ["leading dots", ".hidden/..data"],
] as const

describe("tarHeader()", () => {
  test.each(PATHS)("a path of %s is read back by tar-stream", async (_, path) => {
    const [found] = await readBack(archive([file(path, "content")]))

    expect(found?.header.name).toBe(path)
    expect(found?.text).toBe("content")
  })

  test.skipIf(!hasGnuTar).each(PATHS)("a path of %s is unpacked by GNU tar", (_, path) => {
    const dir = tempDir()
    const unpacked = unpack(archive([file(path, "content", 0o640)]), dir)

    expect(unpacked).toBe("")
    expect(readFileSync(join(dir, path), "utf8")).toBe("content")
    expect(lstatSync(join(dir, path)).mode & 0o777).toBe(0o640)
  })

  test.each([
    ["short", "../lib/x.so"],
    ["100 bytes", "t".repeat(100)],
    ["101 bytes", "t".repeat(101)],
    ["outside ASCII", "größe/🚀"],
    ["control characters", "a\tb\nc"],
  ])("a symlink's target survives: %s", async (_, target) => {
    const bytes = archive([symlink("link", target)])
    const [found] = await readBack(bytes)
    const dir = tempDir()

    expect(found?.header).toMatchObject({ type: "symlink", linkname: target, size: 0 })
    if (hasGnuTar) expect([unpack(bytes, dir), readlinkSync(join(dir, "link"))]).toEqual(["", target])
  })

  test("directories end in a slash, also where the path needs a pax header", async () => {
    const long = `${"d/".repeat(140)}end`
    const found = await readBack(archive([directory("var/empty", 0o1777), directory(long)]))

    expect(found.map(({ header }) => [header.type, header.name.replace(/\/$/, ""), header.mode])).toEqual([
      ["directory", "var/empty", 0o1777],
      ["directory", long, 0o755],
    ])
  })

  test.each([0, 1, 8 * GiB - 1, 8 * GiB, 9 * GiB, 2 ** 43])("a size of %d is told", async (size) => {
    const header = tarHeader({ type: "file", path: "big", mode: 0o644, size, target: "" })
    const { promise, resolve } = Promise.withResolvers<Header>()
    const reader = extract()
    reader.on("entry", resolve)
    reader.write(header)

    expect((await promise).size).toBe(size)
    reader.destroy()
  })

  test.skipIf(!hasGnuTar)("GNU tar lists 9 GiB, and what follows them", () => {
    const path = join(tempDir(), "big.tar")
    const header = tarHeader({ type: "file", path: "big", mode: 0o644, size: 9 * GiB, target: "" })
    writeFileSync(path, header)
    truncateSync(path, header.byteLength + 9 * GiB) // sparse
    appendFileSync(path, archive([file("next", "n")]))
    const { stdout, exitCode } = Bun.spawnSync(["tar", "-tvf", path])

    expect(exitCode).toBe(0)
    expect(stdout.toString()).toMatch(new RegExp(`${9 * GiB} .* big\n.* 1 .* next`))
  })

  test("says nothing of when, where and by whom it was made", async () => {
    const [found] = await readBack(archive([file("a", "x", 0o4755)]))

    expect(found?.header).toMatchObject({ uid: 0, gid: 0, uname: "", gname: "", mode: 0o4755 })
    expect(found?.header.mtime?.getTime()).toBe(0)
  })

  test("equal entries give equal bytes, which must not change from one version to the next", () => {
    const items = () => [directory("empty"), file(`${"l".repeat(120)}.txt`, "hello"), symlink("s", "größe")]
    const digest = new Bun.CryptoHasher("sha256").update(archive(items())).digest("hex")

    expect(archive(items())).toEqual(archive(items()))
    expect(digest).toBe("aa831b1ebe56cf7b281a64c64014887533c7745ff58a690c677e640cddf1a4ab")
  })

  test("only uses a pax header where ustar is not enough", () => {
    expect(tarHeader(file("etc/motd")[0]).byteLength).toBe(TAR_BLOCK)
    expect(tarHeader(file("ä")[0]).byteLength).toBe(3 * TAR_BLOCK)
  })

  test("any path and content is read back as it was", async () => {
    const part = fc.string({ unit: "grapheme", minLength: 1, maxLength: 90 }).filter((text) => /^[^/\0]+$/.test(text))
    const items = fc.uniqueArray(fc.tuple(fc.array(part, { minLength: 1, maxLength: 5 }), fc.string()), {
      selector: ([parts]) => parts.join("/"),
      maxLength: 5,
    })
    await fc.assert(
      fc.asyncProperty(items, async (files) => {
        const expected = files.map(([parts, text]) => ({ name: parts.join("/"), text }))
        const found = await readBack(archive(expected.map(({ name, text }) => file(name, text))))

        expect(found.map(({ header, text }) => ({ name: header.name, text }))).toEqual(expected)
      }),
    )
  })

  test("a pax record counts its own length, wherever that gets a digit more", async () => {
    for (let length = 80; length < 120; length += 1) {
      const path = `ä${"x".repeat(length)}`
      expect((await readBack(archive([file(path)])))[0]?.header.name).toBe(path)
    }
  })
})

describe("tarPadding()", () => {
  test.each([
    [0, 0],
    [1, 511],
    [511, 1],
    [512, 0],
    [513, 511],
    [9 * GiB + 1, 511],
  ])("%d bytes are followed by %d", (size, padding) => {
    expect(tarPadding(size).byteLength).toBe(padding)
  })
})

/** What GNU tar complains of. */
function unpack(bytes: Uint8Array, dir: string): string {
  const { exitCode, stderr } = Bun.spawnSync(["tar", "-xpf", "-", "-C", dir], { stdin: bytes })
  return exitCode === 0 ? stderr.toString() : `exit code ${exitCode}: ${stderr}`
}
