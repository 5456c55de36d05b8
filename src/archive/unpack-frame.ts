import { FRAME_BYTES, type PackedFrame } from "./frame.ts"
import { isSpan, unpackSpan } from "./span.ts"

/** The content of a frame. Throws when it is damaged. */
export function unpackFrame({ frame: { bytes, packedBytes }, packed }: PackedFrame): Uint8Array {
  if (packedBytes === bytes) return packed
  const content = bytes > FRAME_BYTES ? null : unpack(packed, bytes)
  if (content?.byteLength !== bytes) throw new Error("A frame of a pack is damaged")
  return content
}

const unpack = (packed: Uint8Array, bytes: number): Uint8Array | null =>
  isSpan(packed) ? unpackSpan(packed, bytes) : Bun.zstdDecompressSync(packed)
