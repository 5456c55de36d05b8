/** Bits in the order in which deflate sends them: numbers from their lowest bit, codes from their highest. */
const number = (value: number, bits: number): string =>
  value.toString(2).padStart(bits, "0").split("").reverse().join("")

/** A block of fixed codes that ends at once (RFC 1951, 3.2.6). */
const FIXED = `${number(0, 1)}${number(1, 2)}0000000`

/** The same with codes of its own (RFC 1951, 3.2.7): 256 is the only length, and there are two distances. */
const DYNAMIC = [
  number(0, 1) + number(2, 2),
  number(0, 5) + number(1, 5) + number(14, 4),
  // The codes for lengths: 18 is "1", and 1 is "0"
  ...[16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1].map((symbol) =>
    number(symbol === 18 || symbol === 1 ? 1 : 0, 3),
  ),
  // 138 and 118 unused literals, the end of the block, two distances
  `1${number(138 - 11, 7)}1${number(118 - 11, 7)}`,
  "000",
  // The end of the block
  "0",
].join("")

/** By how many bits of a last byte they fill: 10 bits for each block, and 91 for one. */
const BLOCKS = [
  "",
  DYNAMIC + FIXED.repeat(3),
  FIXED,
  DYNAMIC,
  FIXED.repeat(2),
  DYNAMIC + FIXED,
  FIXED.repeat(3),
  DYNAMIC + FIXED.repeat(2),
].map(toBytes)

function toBytes(bits: string): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8))
  for (const [at, bit] of [...bits].entries()) if (bit === "1") bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (1 << (at & 7))
  return bytes
}

/**
 * Blocks without content that end after so many bits of their last byte, 0 to 7, and the rest of that byte from `last`:
 * before blocks that begin in the middle of a byte, so that these are decoded as what they are where they are.
 */
export function emptyBlocks(bits: number, last: number): Uint8Array {
  const bytes = BLOCKS[bits]?.slice() ?? new Uint8Array(0)
  const end = bytes.byteLength - 1
  if (end >= 0) bytes[end] = (bytes[end] ?? 0) | (last & (0xff << bits))
  return bytes
}
