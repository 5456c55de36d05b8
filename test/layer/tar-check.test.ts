import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { pack } from "tar-stream"
import { TarCheck } from "../../src/layer/tar-check.ts"
import { tarHeader } from "../../src/oci/tar.ts"
import { tar } from "../helpers/images.ts"

function check(bytes: Uint8Array, size = bytes.byteLength): void {
  const checker = new TarCheck()
  for (let offset = 0; offset < bytes.byteLength; offset += size) checker.update(bytes.subarray(offset, offset + size))
  checker.end()
}

async function packed(fill: (archive: ReturnType<typeof pack>) => void): Promise<Uint8Array> {
  const archive = pack()
  fill(archive)
  archive.finalize()
  return new Uint8Array(await new Response(archive as unknown as ReadableStream).arrayBuffer())
}

const hasGnuTar = Bun.spawnSync(["sh", "-c", "tar --version 2>/dev/null"]).stdout.toString().includes("GNU tar")

describe("TarCheck", () => {
  test("accepts what tar-stream writes, in pieces of any size", async () => {
    const bytes = await tar({ "a.txt": "a".repeat(1300), [`${"long/".repeat(60)}b`]: "b", empty: "" })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), (size) => {
        expect(() => check(bytes, size)).not.toThrow()
      }),
      { numRuns: 40 },
    )
  })

  test("accepts links, devices and directories, whose size is no content", async () => {
    const bytes = await packed((archive) => {
      archive.entry({ name: "d", type: "directory" })
      archive.entry({ name: "s", type: "symlink", linkname: "a" })
      archive.entry({ name: "h", type: "link", linkname: "a" })
      archive.entry({ name: "c", type: "character-device", devmajor: 1, devminor: 3 })
      archive.entry({ name: "f" }, "text")
    })

    expect(() => check(bytes)).not.toThrow()
  })

  test.skipIf(!hasGnuTar).each(["gnu", "ustar", "pax", "v7", "oldgnu"])("accepts GNU tar's format %s", (format) => {
    const { stdout, exitCode } = Bun.spawnSync(["tar", `--format=${format}`, "-cf", "-", "-C", import.meta.dir, "."])

    expect(exitCode).toBe(0)
    expect(() => check(new Uint8Array(stdout))).not.toThrow()
  })

  test("accepts an archive without its end, as some writers leave it", async () => {
    const bytes = await tar({ a: "a" })

    expect(() => check(bytes.subarray(0, 1024))).not.toThrow()
  })

  test("accepts an empty archive, and whatever follows the end of one", async () => {
    const bytes = Buffer.concat([await tar({ a: "a" }), Buffer.from("padding of some tape")])

    expect(() => check(new Uint8Array(10_240))).not.toThrow()
    expect(() => check(bytes)).not.toThrow()
  })

  test("gives up, and accepts, where a header alone does not tell", () => {
    const big = tarHeader({ type: "file", path: "big", mode: 0o644, size: 2 ** 40, target: "" })

    expect(() => check(Buffer.concat([big, Buffer.alloc(700)]))).not.toThrow()
  })

  test.each([
    ["a header", 100, "it is no tar archive"],
    ["content", 900, "the archive is cut off after entry 1"],
    ["padding", 1100, "the archive is cut off after entry 1"],
    ["the second header", 1700, "the archive is cut off after entry 1"],
  ])("refuses an archive that is cut off in %s", async (_, length, reason) => {
    const bytes = await tar({ a: "a".repeat(600), b: "b" })

    expect(() => check(bytes.subarray(0, length))).toThrow(reason)
  })

  test("refuses a damaged header, wherever it is", async () => {
    const bytes = await tar({ a: "a", b: "b", c: "c" })
    for (const entry of [0, 1, 2]) {
      const damaged = Uint8Array.from(bytes)
      damaged[entry * 1024 + 100] = 0x39
      const reason = entry === 0 ? "it is no tar archive" : `the archive is damaged after entry ${entry}`

      expect(() => check(damaged)).toThrow(new TypeError(reason))
    }
  })

  test("never takes random bytes for an archive, and never fails otherwise", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 3000 }), (bytes) => {
        fc.pre(bytes.some((byte) => byte !== 0))
        expect(() => check(bytes)).toThrow(TypeError)
      }),
    )
  })
})
