/**
 * What layers are made of, archives, in frames of bounded size: any part of any file can be read by unpacking one frame or
 * a few. A frame is in the layer as it was sent where that can be, else in a pack.
 */
export interface Frame {
  /** Where its content begins in the archive. */
  readonly start: number
  /** Of content. */
  readonly bytes: number
  readonly packOffset: number
  /** The same as `bytes` for content that is there as it is. */
  readonly packedBytes: number
  /** Where it is in the layer, compressed as it was sent; the pack has what is needed to decode it besides. */
  readonly sourceOffset: number
  /** 0: all of the frame is in the pack. */
  readonly sourceBytes: number
}

export interface PackedFrame {
  readonly frame: Frame
  readonly packed: Uint8Array<ArrayBuffer>
}

/** With what it has in the layer. */
export interface LoadedFrame extends PackedFrame {
  readonly source: Uint8Array
}

/** Of zstd: fast, and nearly as small as what layers are usually sent as. */
export const PACK_LEVEL = 1

/** The most content that one frame holds. */
export const FRAME_BYTES = 1024 * 1024

/** The index of the last frame that begins at `offset` or before; -1 when there are none before it. */
export function findFrame(frames: readonly Frame[], offset: number): number {
  let low = 0
  let high = frames.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((frames[middle]?.start ?? 0) <= offset) low = middle + 1
    else high = middle
  }
  return low - 1
}
