import { describe, expect, test } from "bun:test"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { decompressed, detectEncoding, type Encoding } from "../../src/lib/decompress.ts"

const CONTENT = Buffer.from("hello ".repeat(10_000))
const SKIPPABLE = Buffer.from([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
const gzip = gzipSync(CONTENT)
const zstd = zstdCompressSync(CONTENT)

/** In pieces, as a network gives them. */
function pieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      for (let offset = 0; offset < bytes.byteLength; offset += size)
        controller.enqueue(Uint8Array.from(bytes.subarray(offset, offset + size)))
      controller.close()
    },
  })
}
const decode = async (bytes: Uint8Array, encoding: Encoding) =>
  Buffer.from(await new Response(decompressed(pieces(bytes, 997), encoding)).arrayBuffer())

describe("detectEncoding()", () => {
  test.each([
    ["gzip", [...gzip.subarray(0, 4)], "gzip"],
    ["zstd", [...zstd.subarray(0, 4)], "zstd"],
    ["zstd that begins with a skippable frame", [...SKIPPABLE], "zstd"],
    ["a skippable frame of the highest number", [0x5f, 0x2a, 0x4d, 0x18], "zstd"],
    ["a letter", [0x50, 0x2a, 0x4d], "none"],
    ["nothing", [], "none"],
    ["one byte of gzip", [0x1f], "none"],
    ["bzip2", [0x42, 0x5a, 0x68, 0x39], "none"],
    ["a path", [0x65, 0x74, 0x63, 0x2f], "none"],
  ] as [string, number[], Encoding][])("%s", (_, head, expected) => {
    expect(detectEncoding(new Uint8Array(head))).toBe(expected)
  })
})

describe("decompressed()", () => {
  test.each([
    ["one member", gzip, "gzip", 1],
    ["three members", Buffer.concat([gzip, gzip, gzip]), "gzip", 3],
    ["an empty member first, as stargz has them", Buffer.concat([gzipSync(""), gzip]), "gzip", 1],
    ["one frame", zstd, "zstd", 1],
    ["frames with skippable ones around", Buffer.concat([SKIPPABLE, zstd, SKIPPABLE, zstd, SKIPPABLE]), "zstd", 2],
    ["plain bytes", CONTENT, "none", 1],
  ] as [string, Buffer, Encoding, number][])("reads %s", async (_, bytes, encoding, times) => {
    expect(await decode(bytes, encoding)).toEqual(Buffer.concat(Array(times).fill(CONTENT)))
  })

  const damaged = Buffer.from(gzip)
  damaged[damaged.length - 6] = (damaged.at(-6) ?? 0) ^ 1
  test.each([
    ["gzip that is cut off", gzip.subarray(0, -4), "gzip"],
    ["gzip whose second member is cut off", Buffer.concat([gzip, gzip.subarray(0, 30)]), "gzip"],
    ["gzip with a wrong checksum", damaged, "gzip"],
    ["gzip with something after it", Buffer.concat([gzip, Buffer.from("rubbish!")]), "gzip"],
    ["zstd that is cut off", zstd.subarray(0, -2), "zstd"],
    ["zstd whose second frame is cut off", Buffer.concat([zstd, zstd.subarray(0, 9)]), "zstd"],
    ["zstd with something after it", Buffer.concat([zstd, Buffer.from("rubbish!")]), "zstd"],
  ] as [string, Buffer, Encoding][])("fails on %s", async (_, bytes, encoding) => {
    await expect(decode(bytes, encoding)).rejects.toThrow()
  })
})
