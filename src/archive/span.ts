import { PACK_LEVEL } from "./frame.ts"
import { inflatePart } from "./inflate-part.ts"

/**
 * What a pack has of a frame that stays in the layer, in the blocks of deflate that it came in:
 *
 *     bits of the first byte of the blocks that are before them, 1 to 8     u8
 *     window that the blocks refer to, in zstd
 */
const HEAD_BYTES = 1
/** Of the blocks: a window that is larger is not worth keeping. */
const MAX_WINDOW_SHARE = 1 / 4

export interface Span {
  readonly skip: number
  readonly window: Uint8Array
  /** Of the blocks. */
  readonly sourceBytes: number
}

/** Null: it is better compressed anew. */
export async function packSpan({ skip, sourceBytes, window }: Span): Promise<Uint8Array<ArrayBuffer> | null> {
  const packedWindow = await Bun.zstdCompress(window, { level: PACK_LEVEL })
  if (packedWindow.byteLength > sourceBytes * MAX_WINDOW_SHARE) return null
  const packed = new Uint8Array(HEAD_BYTES + packedWindow.byteLength)
  packed[0] = skip
  packed.set(packedWindow, HEAD_BYTES)
  return packed
}

/** The first bytes of its content. Null: it is damaged. */
export function unpackSpan(packed: Uint8Array, source: Uint8Array, bytes: number): Uint8Array | null {
  const [skip = 0] = packed
  const window = Bun.zstdDecompressSync(packed.subarray(HEAD_BYTES))
  const content = new Uint8Array(bytes)
  return inflatePart({ source, skip, window }, content) === bytes ? content : null
}
