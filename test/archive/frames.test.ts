import { describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { constants, deflateRawSync, gunzipSync, gzipSync, type ZlibOptions, zstdCompressSync } from "node:zlib"
import type { Decoder } from "../../src/archive/decoder.ts"
import { FRAME_BYTES, type LoadedFrame } from "../../src/archive/frame.ts"
import { FrameWriter } from "../../src/archive/frame-writer.ts"
import { unpackFrame } from "../../src/archive/unpack-frame.ts"
import { GzipDecoder, ZstdDecoder } from "../../src/archive/zlib-decoder.ts"

const MIB = 1024 * 1024
const TEXT = Buffer.from(Array.from({ length: 300_000 }, (_, at) => `line ${(at * 7919) % 100_003}\n`).join(""))
const NOISE = randomBytes(MIB)
/** What compresses well, not at all, and to next to nothing, from one byte to the next and for long. */
const MIXED = Buffer.concat([
  TEXT.subarray(0, MIB),
  NOISE,
  Buffer.alloc(3 * MIB),
  TEXT.subarray(MIB),
  ...Array.from({ length: 60 }, (_, at) => [TEXT.subarray(at * 999, at * 2000), NOISE.subarray(at, at * 777)]).flat(),
])

interface Framing {
  readonly pieceBytes?: number
  /** Of the first pieces; the rest comes in those of `pieceBytes`. */
  readonly firstPieces?: readonly number[]
  /** After so many bytes of the source, what has come is made a frame. */
  readonly flushEvery?: number
  /** False: frames do not refer to the layer. */
  readonly isKept?: boolean
}

async function framesOf(
  source: Uint8Array,
  decoder: Decoder,
  { firstPieces = [], flushEvery = Number.POSITIVE_INFINITY, isKept = true, pieceBytes = 65_536 }: Framing = {},
): Promise<readonly LoadedFrame[]> {
  const writer = new FrameWriter({ isKept })
  const sizes = [...firstPieces]
  let unflushed = 0
  for (let offset = 0; offset < source.byteLength; ) {
    const size = sizes.shift() ?? pieceBytes
    decoder.write(source.subarray(offset, offset + size))
    for (let bytes = decoder.read(writer.room()); bytes !== null; bytes = decoder.read(writer.room()))
      writer.add(bytes, decoder.deflate)
    offset += size
    unflushed += size
    if (unflushed < flushEvery) continue
    writer.flush()
    unflushed = 0
  }
  decoder.end()
  decoder.close()
  writer.flush()
  const frames: LoadedFrame[] = []
  for (let next = await writer.collect(); next !== null; next = await writer.collect()) {
    const { sourceBytes, sourceOffset } = next.frame
    frames.push({ ...next, source: source.subarray(sourceOffset, sourceOffset + sourceBytes) })
  }
  return frames
}

/** Every frame unpacked by itself, in order; each must begin where the one before ends, in the archive and in the pack. */
function contentOf(frames: readonly LoadedFrame[]): Buffer {
  let [start, packOffset] = [0, 0]
  for (const { frame, packed } of frames) {
    expect([frame.start, frame.packOffset, frame.packedBytes]).toEqual([start, packOffset, packed.byteLength])
    expect(frame.bytes).toBeLessThanOrEqual(FRAME_BYTES)
    start += frame.bytes
    packOffset += packed.byteLength
  }
  return Buffer.concat(frames.map((frame) => unpackFrame(frame)))
}

const isSpan = ({ frame }: LoadedFrame): boolean => frame.sourceBytes > 0

/** How much of the content is kept in the blocks in which it came. */
function shareOfSpans(frames: readonly LoadedFrame[]): number {
  const spans = frames.filter(isSpan)
  const sum = (some: readonly LoadedFrame[]) => some.reduce((bytes, { frame }) => bytes + frame.bytes, 0)
  return sum(spans) / sum(frames)
}

const packedBytes = (frames: readonly LoadedFrame[]): number =>
  frames.reduce((sum, { frame }) => sum + frame.packedBytes, 0)

/** One member that is flushed again and again, so that blocks end with whole bytes, and without content. */
function flushed(content: Buffer, every: number): Buffer {
  const parts: Buffer[] = []
  for (let offset = 0; offset < content.byteLength; offset += every)
    parts.push(
      deflateRawSync(content.subarray(offset, offset + every), { finishFlush: constants.Z_SYNC_FLUSH }) as Buffer,
    )
  const whole = gzipSync(content)
  return Buffer.concat([whole.subarray(0, 10), ...parts, Buffer.from([3, 0]), whole.subarray(-8)])
}

const SOURCES: readonly (readonly [string, () => Uint8Array])[] = [
  ...[0, 1, 6, 9].map((level) => [`level ${level}`, () => gzipSync(MIXED, { level })] as const),
  ...(["Z_FIXED", "Z_HUFFMAN_ONLY", "Z_RLE", "Z_FILTERED"] as const).map(
    (name) => [name, () => gzipSync(MIXED, { strategy: constants[name] } as ZlibOptions)] as const,
  ),
  ["a small window", () => gzipSync(MIXED, { windowBits: 9 })],
  ["small blocks", () => gzipSync(MIXED, { memLevel: 1 })],
  ["one member, flushed after each MiB", () => flushed(MIXED, MIB)],
  ["one member, flushed after each 700 bytes", () => flushed(MIXED.subarray(0, 2 * MIB), 700)],
  ["one member, flushed after each byte", () => flushed(MIXED.subarray(0, 20_000), 1)],
  [
    "several members",
    () => Buffer.concat([gzipSync(TEXT), gzipSync(NOISE), gzipSync(new Uint8Array(0)), gzipSync(MIXED)]),
  ],
  [
    "members of all sizes, behind blocks that are larger than frames",
    () =>
      Buffer.concat(
        Array.from({ length: 200 }, (_, at) => [
          gzipSync(Buffer.concat([Buffer.alloc(at % 20 === 0 ? 3 * MIB : 0), TEXT.subarray(at * 999, at * 2000)])),
          gzipSync(TEXT.subarray(at * 5000, at * 5000 + ((at * 7919) % 200_003))),
        ]).flat(),
      ),
  ],
  [
    "a thousand members",
    () => Buffer.concat(Array.from({ length: 1000 }, (_, at) => gzipSync(MIXED.subarray(at * 900, at * 900 + 5000)))),
  ],
]

describe("frames", () => {
  test.each(SOURCES)("hold just what was compressed: %s", async (_, make) => {
    const source = make()
    const truth = gunzipSync(source)
    for (const framing of [{}, { pieceBytes: 1000 }, { pieceBytes: 1024, flushEvery: 300_000 }]) {
      const frames = await framesOf(source, new GzipDecoder(), framing)
      expect(contentOf(frames).equals(truth)).toBe(true)
    }
  })

  test.each([
    ["zeros that fill what is decoded at once", Buffer.alloc(128 * 1024)],
    ["text that does so", Buffer.from("ab".repeat(64 * 1024))],
  ])("hold what is behind the end of a member, and %s", async (_, first) => {
    const frames = await framesOf(Buffer.concat([gzipSync(first), gzipSync(TEXT)]), new GzipDecoder())
    expect(contentOf(frames).equals(Buffer.concat([first, TEXT]))).toBe(true)
  })

  /** A member ends with 8 bytes of sums, and one without a name begins with 10 of a header. */
  test("hold what is behind the end of a member, wherever pieces end around it", async () => {
    const members = [TEXT.subarray(0, 100_000), TEXT.subarray(100_000, 2_000_000), TEXT.subarray(2_000_000)]
    const [first, ...others] = members.map((member) => gzipSync(member))
    const length = first?.byteLength ?? 0
    const source = Buffer.concat([first ?? new Uint8Array(0), ...others])
    for (let from = -10; from <= 12; from += 1) {
      for (const next of [[], [3], [8], [10], [13], [18]]) {
        const frames = await framesOf(source, new GzipDecoder(), { firstPieces: [length + from, ...next] })
        expect([from, next, contentOf(frames).equals(TEXT)]).toEqual([from, next, true])
      }
    }
  })

  test("are not much larger than what came, also where windows are and blocks are not", async () => {
    const pieces = Array.from({ length: 40 }, (_, at) => [
      Buffer.alloc(460_000),
      NOISE.subarray(at * 20_000, at * 20_000 + 32_768),
    ])
    const source = gzipSync(Buffer.concat(pieces.flat()))
    const frames = await framesOf(source, new GzipDecoder())
    expect(packedBytes(frames)).toBeLessThan(source.byteLength * 1.3)
  })

  test("leave the blocks of gzip in the layer, and need little besides", async () => {
    const source = gzipSync(TEXT)
    const frames = await framesOf(source, new GzipDecoder())
    expect(shareOfSpans(frames)).toBeGreaterThan(0.8)
    const inLayer = frames.filter(isSpan)
    expect(packedBytes(inLayer)).toBeLessThan(source.byteLength * 0.1)
  })

  test("leave members of gzip in the layer, as tools make them that want to find each file again", async () => {
    const source = Buffer.concat(
      Array.from({ length: 2000 }, (_, at) =>
        gzipSync(TEXT.subarray(at * 999, at * 999 + 4000 + ((at * 7919) % 9000))),
      ),
    )
    const frames = await framesOf(source, new GzipDecoder())
    expect(contentOf(frames).equals(gunzipSync(source))).toBe(true)
    expect(shareOfSpans(frames)).toBeGreaterThan(0.9)
    expect(packedBytes(frames)).toBeLessThan(source.byteLength * 0.15)
  })

  test("of a layer that is not kept hold their content as it is", async () => {
    const frames = await framesOf(gzipSync(MIXED), new GzipDecoder(), { isKept: false })
    expect(contentOf(frames).equals(MIXED)).toBe(true)
    expect(frames.every(({ frame }) => frame.sourceBytes === 0 && frame.packedBytes === frame.bytes)).toBe(true)
  })

  test("keep blocks again after what had to be handed on in the middle of one", async () => {
    const frames = await framesOf(gzipSync(MIXED), new GzipDecoder(), { pieceBytes: 1024, flushEvery: 1_000_000 })
    expect(shareOfSpans(frames)).toBeGreaterThan(0.2)
  })

  test("of zstd and of what is not compressed are compressed anew", async () => {
    const frames = await framesOf(zstdCompressSync(MIXED), new ZstdDecoder())
    expect(contentOf(frames).equals(MIXED)).toBe(true)
    expect(shareOfSpans(frames)).toBe(0)
  })

  test("that are damaged are refused", async () => {
    const frames = await framesOf(gzipSync(TEXT), new GzipDecoder())
    const spans = frames.filter(({ frame }) => frame.start > 0 && frame.sourceBytes > 0) // the first needs no window
    expect(spans.length).toBeGreaterThan(0)
    for (const span of spans) {
      const { frame, packed, source } = span
      expect(() => unpackFrame({ ...span, source: source.slice(0, -1000) })).toThrow("damaged")
      expect(() => unpackFrame({ ...span, packed: packed.slice(0, -1000) })).toThrow("damaged")
      expect(() => unpackFrame({ ...span, packed: new Uint8Array(0) })).toThrow("damaged")
      expect(() => unpackFrame({ ...span, frame: { ...frame, bytes: frame.bytes + 1 } })).toThrow("damaged")
      expect(() => unpackFrame({ ...span, frame: { ...frame, bytes: FRAME_BYTES * 1000 } })).toThrow("damaged")
    }
  })
})
