import { inflatePart } from "./inflate-part.ts"

/** So much of what follows decides. */
const SAMPLE_BYTES = 4096
const SOURCE_BYTES = 8192
/** What is looked at before anything is decoded. */
const HEADER_BYTES = 16
const MAX_LITERALS = 286
const MAX_DISTANCES = 30

/**
 * How many bits of the first byte, 1 to 8, come before the block that begins in it or after it: zlib tells between which
 * bytes a block ends, and not at which bit. `content` is what the block holds, and what follows. Null: more than one
 * answer gives just that content.
 */
export function findBlockStart(source: Uint8Array, window: Uint8Array, content: Uint8Array): number | null {
  const possible = [1, 2, 3, 4, 5, 6, 7, 8].filter((skip) => mayBegin(source, skip))
  if (possible.length === 1) return possible[0] ?? null
  const sample = source.subarray(0, SOURCE_BYTES)
  const output = new Uint8Array(Math.min(SAMPLE_BYTES, content.byteLength))
  const right = possible.filter((skip) => {
    const filled = inflatePart({ source: sample, skip, window }, output)
    return filled !== null && Buffer.compare(output.subarray(0, filled), content.subarray(0, filled)) === 0
  })
  return right.length === 1 ? (right[0] ?? null) : null
}

/** False: no decoder takes this for the beginning of a block (RFC 1951, 3.2). Cheaper than to have it decoded. */
function mayBegin(source: Uint8Array, skip: number): boolean {
  if (source.byteLength < HEADER_BYTES) return true
  const bits = (from: number, count: number): number => {
    const at = (skip + from) >> 3
    const three = (source[at] ?? 0) | ((source[at + 1] ?? 0) << 8) | ((source[at + 2] ?? 0) << 16)
    return (three >> ((skip + from) & 7)) & ((1 << count) - 1)
  }
  const type = bits(1, 2)
  if (type === 0) return hasStoredLength(source, (skip + 3 + 7) >> 3)
  if (type !== 2) return type === 1
  if (257 + bits(3, 5) > MAX_LITERALS || 1 + bits(8, 5) > MAX_DISTANCES) return false
  // The lengths of the codes that the lengths are written in: together they leave no code unused
  const lengths = 4 + bits(13, 4)
  let sum = 0
  for (let at = 0; at < lengths; at += 1) {
    const length = bits(17 + at * 3, 3)
    if (length > 0) sum += 128 >> length
  }
  return sum === 128
}

/** The length of a stored block stands there twice, once inverted. */
function hasStoredLength(source: Uint8Array, at: number): boolean {
  const [low = 0, high = 0, otherLow = 0, otherHigh = 0] = source.subarray(at)
  return (low ^ otherLow) === 0xff && (high ^ otherHigh) === 0xff
}
