/**
 * A pack holds the contents of a layer's files, one after the other, compressed in frames of bounded size: any part of
 * any file can be read by unpacking one frame or a few.
 */
export interface Frame {
  /** Where its content begins among all contents. */
  readonly start: number
  /** Of content. */
  readonly bytes: number
  readonly packOffset: number
  /** The same as `bytes` for content that does not get smaller, which is then stored as it is. */
  readonly packedBytes: number
}

/** The most content that one frame holds. */
export const FRAME_BYTES = 256 * 1024

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
