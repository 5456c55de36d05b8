import { describe, expect, test } from "bun:test"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { ArchiveError } from "../../src/archive/archive-error.ts"
import type { Decoder } from "../../src/archive/decoder.ts"
import { GzipDecoder, ZstdDecoder } from "../../src/archive/zlib-decoder.ts"

const PLAIN = Buffer.from(Array.from({ length: 30_000 }, (_, at) => `line ${at * 7919}\n`).join(""))
/** Cut anywhere: sums, headers and frames begin and end within pieces and between them. */
const PIECES = [1, 7, 1000, 65_536, 10_000_000]

function decode(decoder: Decoder, bytes: Uint8Array, pieceBytes: number): Buffer {
  const parts: Uint8Array[] = []
  const room = { bytes: new Uint8Array(100_000), unwatched: 0 }
  try {
    for (let offset = 0; offset < bytes.byteLength; offset += pieceBytes) {
      decoder.write(bytes.subarray(offset, offset + pieceBytes))
      for (let part = decoder.read(room); part !== null; part = decoder.read(room)) parts.push(part.slice())
    }
    decoder.end()
  } finally {
    decoder.close()
  }
  return Buffer.concat(parts)
}

describe.each([
  ["gzip", () => new GzipDecoder(), (bytes: Uint8Array) => gzipSync(bytes)],
  ["zstd", () => new ZstdDecoder(), (bytes: Uint8Array) => zstdCompressSync(bytes)],
] as const)("%s", (name, decoder, encode) => {
  const whole = encode(PLAIN)
  const first = encode(PLAIN.subarray(0, 100_000))
  const two = Buffer.concat([first, encode(PLAIN.subarray(100_000))])

  test.each(PIECES)("is decoded from pieces of %d bytes, one member or several", (pieceBytes) => {
    expect(decode(decoder(), whole, pieceBytes).equals(PLAIN)).toBe(true)
    expect(decode(decoder(), two, pieceBytes).equals(PLAIN)).toBe(true)
  })

  test.each(PIECES)("in pieces of %d bytes is refused where it is damaged", (pieceBytes) => {
    const damaged = {
      "cut off": whole.subarray(0, -5),
      "cut off in a second header": two.subarray(0, first.byteLength + 3),
      garbage: Buffer.concat([whole, Buffer.from("garbage behind it")]),
      "garbage behind zeros": Buffer.concat([whole, Buffer.alloc(700), whole]),
      "a wrong magic": Buffer.concat([Buffer.from("wrong"), whole]),
      ...(name === "gzip"
        ? { "a wrong sum": whole.map((byte, at) => (at === whole.length - 6 ? byte ^ 1 : byte)) }
        : {}),
    }
    for (const [what, bytes] of Object.entries(damaged)) {
      let failure: unknown = null
      try {
        decode(decoder(), bytes, pieceBytes)
      } catch (error) {
        failure = error
      }
      expect([what, failure instanceof ArchiveError]).toEqual([what, true])
    }
  })
})

test.each(PIECES)("zeros behind gzip, in pieces of %d bytes, are no fault", (pieceBytes) => {
  const padded = Buffer.concat([gzipSync(PLAIN), Buffer.alloc(700)])
  expect(decode(new GzipDecoder(), padded, pieceBytes).equals(PLAIN)).toBe(true)
})

test("gives no more at once than a part of what a bomb holds", () => {
  const decoder = new GzipDecoder()
  decoder.write(gzipSync(new Uint8Array(16 * 1024 * 1024)))
  const room = { bytes: new Uint8Array(256 * 1024), unwatched: 100 }
  let total = 0
  for (let part = decoder.read(room); part !== null; part = decoder.read(room)) {
    expect([part.buffer === room.bytes.buffer, part.byteLength <= room.bytes.byteLength]).toEqual([true, true])
    total += part.byteLength
  }
  decoder.end()
  decoder.close()
  expect(total).toBe(16 * 1024 * 1024)
})
