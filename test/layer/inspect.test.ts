import { describe, expect, test } from "bun:test"
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib"
import fc from "fast-check"
import { inspectLayer } from "../../src/layer/inspect.ts"
import { tarHeader } from "../../src/oci/tar.ts"
import { layer, sha256, tar } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"

const SKIPPABLE = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4])

/** In pieces of `size` bytes. */
function pieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  let offset = 0
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      if (offset >= bytes.byteLength) return controller.close()
      controller.enqueue(Uint8Array.from(bytes.subarray(offset, offset + size)))
      offset += size
    },
  })
}

async function inspect(bytes: Uint8Array, size = 1000) {
  const passed: Uint8Array[] = []
  const facts = await inspectLayer(pieces(bytes, size), async (piece) => void passed.push(piece.slice()), never)
  return { facts, passed: Buffer.concat(passed) }
}

const MIB = 1024 * 1024

/** An archive of zeros, in pieces that are compressed one by one. */
function bomb(size: number, compress: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const header = tarHeader({ type: "file", path: "zeros", mode: 0o644, size, target: "" })
  return Buffer.concat([new Uint8Array(Buffer.from(header)), new Uint8Array(size), new Uint8Array(1024)].map(compress))
}

const FILES = { "a.txt": "a".repeat(5000), "dir/b.txt": "b" }

describe("inspectLayer()", () => {
  test.each(["plain", "gzip", "zstd"] as const)(
    "tells digest, diffID, size and encoding of a %s layer",
    async (form) => {
      const { bytes, digest, diffID, size } = await layer(FILES, form)
      const { facts, passed } = await inspect(bytes)

      expect(facts as object).toEqual({ digest, diffID, size, encoding: form === "plain" ? "none" : form })
      expect(passed.equals(bytes)).toBe(true)
    },
  )

  test.each([
    ["gzip of several members", (plain: Buffer) => [gzipSync(plain.subarray(0, 700)), gzipSync(plain.subarray(700))]],
    ["gzip with an empty member in front", (plain: Buffer) => [gzipSync(""), gzipSync(plain)]],
    [
      "zstd of several frames",
      (plain: Buffer) => [zstdCompressSync(plain.subarray(0, 700)), zstdCompressSync(plain.subarray(700))],
    ],
    ["zstd with skippable frames", (plain: Buffer) => [SKIPPABLE, zstdCompressSync(plain), SKIPPABLE]],
  ] as [string, (plain: Buffer) => Buffer[]][])("reads all of %s", async (_, compress) => {
    const plain = Buffer.from(await tar(FILES))
    const bytes = Buffer.concat(compress(plain))

    expect((await inspect(bytes)).facts as object).toMatchObject({ diffID: sha256(plain), digest: sha256(bytes) })
  })

  test("the diffID is that of the bytes that another decompressor gives", async () => {
    const { bytes } = await layer(FILES, "gzip")

    expect((await inspect(bytes)).facts.diffID as string).toBe(sha256(gunzipSync(bytes)))
  })

  test("it makes no difference in which pieces the bytes come", async () => {
    const { bytes } = await layer(FILES, "gzip")
    const whole = (await inspect(bytes, bytes.byteLength)).facts
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 600 }), async (size) => {
        expect((await inspect(bytes, size)).facts).toEqual(whole)
      }),
      { numRuns: 20 },
    )
  })

  test.each([
    ["nothing", () => Buffer.alloc(0), "it is no tar archive"],
    ["text", () => Buffer.from("hello ".repeat(500)), "it is no tar archive"],
    ["a short text", () => Buffer.from("hello"), "it is no tar archive"],
    ["text in gzip", () => gzipSync("hello ".repeat(500)), "it is no tar archive"],
    ["nothing in gzip", () => gzipSync(""), "it is no tar archive"],
    ["skippable frames alone", () => SKIPPABLE, "it is no tar archive"],
    ["bzip2", () => Buffer.from("425a68393141592653593c7e0e", "hex"), "it is no tar archive"],
    ["two bytes of gzip", () => Buffer.from([0x1f, 0x8b]), ""],
  ] as [string, () => Buffer, string][])("refuses %s", async (_, bytes, reason) => {
    await expect(inspect(bytes())).rejects.toThrow(reason)
  })

  test.each(["gzip", "zstd"] as const)("refuses %s that is cut off anywhere", async (form) => {
    const { bytes } = await layer(FILES, form)
    for (const missing of [1, 4, 9, Math.floor(bytes.byteLength / 2)]) {
      await expect(inspect(bytes.subarray(0, -missing))).rejects.toThrow()
    }
  })

  test("refuses an archive that is cut off in an entry", async () => {
    const plain = await tar(FILES)

    await expect(inspect(plain.subarray(0, 3000))).rejects.toThrow("the archive is cut off after entry 1")
  })

  test("stops reading when its sink fails, and fails as it does", async () => {
    const { bytes } = await layer(FILES, "plain")
    let cancelled = false
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(Uint8Array.from(bytes)),
      cancel: () => {
        cancelled = true
      },
    })
    const full = inspectLayer(
      stream,
      async () => {
        throw new Error("disk full")
      },
      never,
    )

    await expect(full).rejects.toThrow("disk full")
    expect(cancelled).toBe(true)
  })

  test.each([
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ])("refuses %s that gets far larger than it is sent", async (_, compress) => {
    const bytes = bomb(256 * MIB, compress)
    const packed = Buffer.from(bytes)

    await expect(inspect(packed, packed.byteLength)).rejects.toThrow("more than 200 times as large")
  })

  test("takes what is packed well, and lets others have their turn meanwhile", async () => {
    const bytes = Buffer.from(bomb(48 * MIB, zstdCompressSync))
    let turns = 0
    const timer = setInterval(() => (turns += 1), 0)
    const { facts } = await inspect(bytes, bytes.byteLength)
    clearInterval(timer)

    expect(facts.size).toBe(bytes.byteLength)
    expect(turns).toBeGreaterThan(5)
  })

  test("ends when nobody waits for it any more, with the reason", async () => {
    const bytes = bomb(48 * MIB, zstdCompressSync)
    const leaving = new AbortController()
    const sink = async () => {
      setImmediate(() => leaving.abort(new Error("all have left")))
    }

    await expect(inspectLayer(pieces(bytes, bytes.byteLength), sink, leaving.signal)).rejects.toThrow("all have left")
  })

  test("fails as its source does", async () => {
    const { bytes } = await layer(FILES, "gzip")
    let pulled = 0
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled += 1
        if (pulled > 1) controller.error(new Error("connection lost"))
        else controller.enqueue(Uint8Array.from(bytes.subarray(0, 100)))
      },
    })

    await expect(inspectLayer(stream, async () => {}, never)).rejects.toThrow("connection lost")
  })
})
