import { FRAME_BYTES, type PackedFrame } from "./frame.ts"
import { isSpan, unpackSpan } from "./span.ts"

/** The content of a frame, or as much of its beginning as is wanted, at least. Throws when it is damaged. */
export function unpackFrame({ frame: { bytes, packedBytes }, packed }: PackedFrame, wanted = bytes): Uint8Array {
  if (packedBytes === bytes) return packed
  try {
    const content = bytes > FRAME_BYTES ? null : unpack(packed, bytes, Math.min(wanted, bytes))
    if (content === null) throw new Error("It does not hold what its index says")
    return content
  } catch (cause) {
    throw new Error("A frame of a pack is damaged", { cause })
  }
}

function unpack(packed: Uint8Array, bytes: number, wanted: number): Uint8Array | null {
  if (isSpan(packed)) return unpackSpan(packed, wanted)
  const content = Bun.zstdDecompressSync(packed)
  return content.byteLength === bytes ? content : null
}
