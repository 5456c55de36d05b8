import { FRAME_BYTES, type Frame, findFrame } from "../archive/frame.ts"
import type { ByteRange } from "../lib/range.ts"

export interface PackReader {
  /** At least one byte and at most `length`, from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** A pack, complete or still growing. */
export interface Pack {
  readonly frames: readonly Frame[]
  /** Whoever opens it closes it. Rejects with PackGone when it was evicted. */
  open(signal: AbortSignal): Promise<PackReader>
}

/** The pack is no longer here; its layer has to be scanned again. */
export class PackGone extends Error {
  override readonly name = "PackGone"
}

/** A part of the contents, given by where it is among all of them. It is read at the pace of its consumer. */
export async function packStream(
  pack: Pack,
  range: ByteRange,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const reader = await pack.open(signal)
  const pieces = readPieces(pack.frames, reader, range)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      cancel: async () => void (await pieces.return()),
    },
    { highWaterMark: 0 },
  )
}

/** The same at once, for what is small. */
export async function readPack(pack: Pack, range: ByteRange, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(range.end - range.start)
  let filled = 0
  for await (const piece of readPieces(pack.frames, await pack.open(signal), range)) {
    bytes.set(piece, filled)
    filled += piece.byteLength
  }
  return bytes
}

async function* readPieces(
  frames: readonly Frame[],
  reader: PackReader,
  { start, end }: ByteRange,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    let position = start
    for (let next = findFrame(frames, position); position < end; next += 1) {
      const frame = frames[next]
      if (frame === undefined || position >= frame.start + frame.bytes)
        throw new Error("A pack holds less than its index says")
      const content = await readFrame(reader, frame)
      const piece = content.subarray(position - frame.start, end - frame.start)
      position += piece.byteLength
      yield piece
    }
  } finally {
    await reader.close()
  }
}

async function readFrame(reader: PackReader, { bytes, packOffset, packedBytes }: Frame): Promise<Uint8Array> {
  const packed = new Uint8Array(packedBytes)
  for (let done = 0; done < packedBytes; ) {
    const piece = await reader.read(packOffset + done, packedBytes - done)
    packed.set(piece, done)
    done += piece.byteLength
  }
  if (packedBytes === bytes) return packed
  const content = bytes <= FRAME_BYTES ? Bun.zstdDecompressSync(packed) : null
  if (content?.byteLength !== bytes) throw new Error("A frame of a pack is damaged")
  return content
}
