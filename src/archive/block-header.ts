/** At most 16 bits of a source, in the order in which deflate sends them. */
const bitsAt = (source: Uint8Array, bit: number, count: number): number => {
  const byte = bit >> 3
  const word = (source[byte] ?? 0) | ((source[byte + 1] ?? 0) << 8) | ((source[byte + 2] ?? 0) << 16)
  return (word >> (bit & 7)) & ((1 << count) - 1)
}

const STORED = 0
const DYNAMIC = 2
const RESERVED = 3
const MAX_LITERAL_CODES = 286
const MAX_DISTANCE_CODES = 30
/** Whether it is the last block, and its type. */
const TYPE_BITS = 3
/** The same of a dynamic block, and how many codes it has of each kind. */
const HEADER_BITS = TYPE_BITS + 14
const LENGTH_BITS = 3
const MAX_LENGTH = 7

/**
 * False: no block begins at this bit (RFC 1951, 3.2.3 to 3.2.7), as its first bits alone show. To find that out by
 * decoding costs many times as much.
 */
export function mayBeginBlock(source: Uint8Array, bit: number): boolean {
  if (bit + TYPE_BITS > source.byteLength * 8) return true
  const type = bitsAt(source, bit + 1, 2)
  if (type === RESERVED) return false
  if (type === STORED) return mayBeStored(source, Math.ceil((bit + TYPE_BITS) / 8))
  return type !== DYNAMIC || mayBeDynamic(source, bit)
}

function mayBeStored(source: Uint8Array, at: number): boolean {
  const [low = 0, high = 0, notLow, notHigh] = source.subarray(at, at + 4)
  return notHigh === undefined || notLow === undefined || ((low ^ notLow) === 0xff && (high ^ notHigh) === 0xff)
}

/** The codes for lengths leave no bits without a meaning, and give none two. */
function mayBeDynamic(source: Uint8Array, bit: number): boolean {
  if (bit + HEADER_BITS > source.byteLength * 8) return true
  const [literals, distances] = [257 + bitsAt(source, bit + 3, 5), 1 + bitsAt(source, bit + 8, 5)]
  if (literals > MAX_LITERAL_CODES || distances > MAX_DISTANCE_CODES) return false
  const codes = 4 + bitsAt(source, bit + 13, 4)
  const end = bit + HEADER_BITS + codes * LENGTH_BITS
  if (end > source.byteLength * 8) return true
  let taken = 0
  for (let at = bit + HEADER_BITS; at < end; at += LENGTH_BITS) {
    const length = bitsAt(source, at, LENGTH_BITS)
    if (length > 0) taken += 1 << (MAX_LENGTH - length)
  }
  return taken === 0 || taken === 1 << MAX_LENGTH
}
