import { FRAME_BYTES, type LoadedFrame } from "./frame.ts"
import { unpackSpan } from "./span.ts"

/** The content of a frame, or as much of its beginning as is wanted, at least. Throws when it is damaged. */
export function unpackFrame(loaded: LoadedFrame, wanted = loaded.frame.bytes): Uint8Array {
  const { frame, packed } = loaded
  const { bytes } = frame
  if (frame.sourceBytes === 0 && frame.packedBytes === bytes) return packed
  try {
    const content = bytes > FRAME_BYTES ? null : unpack(loaded, Math.min(wanted, bytes))
    if (content === null) throw new Error("It does not hold what its index says")
    return content
  } catch (cause) {
    throw new Error("A frame of a pack is damaged", { cause })
  }
}

function unpack({ frame: { bytes, sourceBytes }, packed, source }: LoadedFrame, wanted: number): Uint8Array | null {
  if (sourceBytes > 0) return unpackSpan(packed, source, wanted)
  const content = Bun.zstdDecompressSync(packed)
  return content.byteLength === bytes ? content : null
}
