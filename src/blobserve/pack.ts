import { type Frame, findFrame, type PackedFrame } from "../archive/frame.ts"
import { unpackFrame } from "../archive/unpack-frame.ts"
import type { ByteRange } from "../lib/range.ts"

/** One who reads on and on, never back. */
export interface PackReader {
  /** The frame that has what is at `position` of the archive. */
  frameAt(position: number): Promise<PackedFrame>
  /** Safe to call twice. */
  close(): Promise<void>
}

/** The contents of a layer: complete, still growing, or passing by. */
export interface Pack {
  /** Whoever opens it closes it. Rejects with PackGone when it was evicted. */
  open(signal: AbortSignal): Promise<PackReader>
}

/** Where a pack is kept. */
export interface PackFile {
  /** At least one byte and at most `length`, from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array>
  close(): Promise<void>
}

export function readFrames(frames: readonly Frame[], file: PackFile): PackReader {
  const frameAt = async (position: number): Promise<PackedFrame> => {
    const frame = frames[findFrame(frames, position)]
    if (frame === undefined || position >= frame.start + frame.bytes)
      throw new Error("A pack holds less than its index says")
    const packed = new Uint8Array(frame.packedBytes)
    for (let done = 0; done < packed.byteLength; ) {
      const piece = await file.read(frame.packOffset + done, packed.byteLength - done)
      packed.set(piece, done)
      done += piece.byteLength
    }
    return { frame, packed }
  }
  let closed: Promise<void> | null = null
  const close = async () => {
    closed ??= file.close()
    await closed
  }
  return { frameAt, close }
}

/** The pack is no longer here; its layer has to be scanned again. */
export class PackGone extends Error {
  override readonly name = "PackGone"
}

/** A part of the archive. It is read at the pace of its consumer. */
export async function packStream(
  pack: Pack,
  range: ByteRange,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const reader = await pack.open(signal)
  const pieces = readPieces(reader, range)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await pieces.return()
        await reader.close() // one that has not begun to read does not do so at its end
      },
    },
    { highWaterMark: 0 },
  )
}

/** The same at once, for what is small. */
export async function readPack(pack: Pack, range: ByteRange, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(range.end - range.start)
  let filled = 0
  for await (const piece of readPieces(await pack.open(signal), range)) {
    bytes.set(piece, filled)
    filled += piece.byteLength
  }
  return bytes
}

async function* readPieces(reader: PackReader, { start, end }: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for (let position = start; position < end; ) {
      const packed = await reader.frameAt(position)
      const content = unpackFrame(packed, end - packed.frame.start)
      const piece = content.subarray(position - packed.frame.start, end - packed.frame.start)
      position += piece.byteLength
      yield piece
    }
  } finally {
    await reader.close()
  }
}
