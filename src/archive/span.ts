import { findBlockStart } from "./block-start.ts"
import { PACK_LEVEL } from "./frame.ts"
import { inflatePart } from "./inflate-part.ts"

/**
 * A frame whose content is not compressed anew: it holds the blocks of deflate that it came in, and the window that they
 * refer to.
 *
 *     bits of the first byte of the blocks that are before them, 1 to 8     u8
 *     bytes of the window as it is packed                                   u32, little-endian
 *     window, in zstd; blocks
 */
const HEAD_BYTES = 5
const MAX_SKIP = 8
/** Of the blocks: a window that is larger is not worth keeping. */
const MAX_WINDOW_SHARE = 1 / 4

/** The first block begins in the first byte of `source`, or after it. Null: it is better compressed anew. */
export function packSpan(source: Uint8Array, window: Uint8Array, content: Uint8Array): Uint8Array<ArrayBuffer> | null {
  const skip = findBlockStart(source, window, content)
  if (skip === null) return null
  const packedWindow = Bun.zstdCompressSync(window, { level: PACK_LEVEL })
  if (packedWindow.byteLength > source.byteLength * MAX_WINDOW_SHARE) return null
  const packed = new Uint8Array(HEAD_BYTES + packedWindow.byteLength + source.byteLength)
  packed[0] = skip
  new DataView(packed.buffer).setUint32(1, packedWindow.byteLength, true)
  packed.set(packedWindow, HEAD_BYTES)
  packed.set(source, HEAD_BYTES + packedWindow.byteLength)
  return packed
}

/** Anything else that is packed begins with the magic number of zstd. */
export const isSpan = (packed: Uint8Array): boolean => (packed[0] ?? 0xff) <= MAX_SKIP

/** Null: it is damaged. */
export function unpackSpan(packed: Uint8Array, bytes: number): Uint8Array | null {
  const [skip = 0] = packed
  const sourceAt = HEAD_BYTES + new DataView(packed.buffer, packed.byteOffset).getUint32(1, true)
  const window = Bun.zstdDecompressSync(packed.subarray(HEAD_BYTES, sourceAt))
  const content = new Uint8Array(bytes)
  return inflatePart({ source: packed.subarray(sourceAt), skip, window }, content) === bytes ? content : null
}
