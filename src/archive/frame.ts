/**
 * A pack holds what layers are made of, archives, in frames of bounded size: any part of any file can be read by unpacking
 * one frame or a few.
 */
export interface Frame {
  /** Where its content begins in the archive. */
  readonly start: number
  /** Of content. */
  readonly bytes: number
  readonly packOffset: number
  /** The same as `bytes` for content that does not get smaller, which is then stored as it is. */
  readonly packedBytes: number
}

export interface PackedFrame {
  readonly frame: Frame
  readonly packed: Uint8Array<ArrayBuffer>
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
