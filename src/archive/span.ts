import { PACK_LEVEL } from "./frame.ts"
import { type BlockRun, inflatePart } from "./inflate-part.ts"

/**
 * A frame whose content is not compressed anew: it holds the blocks of deflate that it came in, and the window that they
 * refer to.
 *
 *     bits of the first byte of the blocks that are before them, 1 to 8     u8
 *     bytes of the blocks                                                   u32, little-endian
 *     blocks; window, in zstd
 */
const HEAD_BYTES = 5
const MAX_SKIP = 8
/** Of the blocks: a window that is larger is not worth keeping. */
const MAX_WINDOW_SHARE = 1 / 4
/** By which zstd makes a window larger, at most. */
const GROWTH_BYTES = 1024

/** What is given may be changed as soon as this has returned, but not the window. Null: it is better compressed anew. */
export async function packSpan({ skip, source, window }: BlockRun): Promise<Uint8Array<ArrayBuffer> | null> {
  const most = Math.floor(source.byteLength * MAX_WINDOW_SHARE)
  const packed = Buffer.allocUnsafeSlow(
    HEAD_BYTES + source.byteLength + Math.min(most, window.byteLength + GROWTH_BYTES),
  )
  packed[0] = skip
  packed.writeUInt32LE(source.byteLength, 1)
  packed.set(source, HEAD_BYTES)
  const packedWindow = await Bun.zstdCompress(window, { level: PACK_LEVEL })
  const end = HEAD_BYTES + source.byteLength + packedWindow.byteLength
  if (end > packed.byteLength) return null
  packed.set(packedWindow, HEAD_BYTES + source.byteLength)
  return new Uint8Array(packed.buffer, 0, end)
}

/** Anything else that is packed begins with the magic number of zstd. */
export const isSpan = (packed: Uint8Array): boolean => (packed[0] ?? 0xff) <= MAX_SKIP

/** The first bytes of its content. Null: it is damaged. */
export function unpackSpan(packed: Uint8Array, bytes: number): Uint8Array | null {
  const [skip = 0] = packed
  const end = HEAD_BYTES + new DataView(packed.buffer, packed.byteOffset).getUint32(1, true)
  const window = Bun.zstdDecompressSync(packed.subarray(end))
  const content = new Uint8Array(bytes)
  return inflatePart({ source: packed.subarray(HEAD_BYTES, end), skip, window }, content) === bytes ? content : null
}
