import { type Frame, findFrame, type LoadedFrame } from "../archive/frame.ts"
import { unpackFrame } from "../archive/unpack-frame.ts"
import type { ByteRange } from "../lib/range.ts"

/** One who reads on and on, never back. */
export interface PackReader {
  /** The frame that has what is at `position` of the archive. */
  frameAt(position: number): Promise<LoadedFrame>
  /** Safe to call twice. */
  close(): Promise<void>
}

/** The contents of a layer: complete, still growing, or passing by. */
export interface Pack {
  /** Whoever opens it closes it. The signal also ends what is read from far away. Rejects with PackGone when it was evicted. */
  open(signal: AbortSignal): Promise<PackReader>
}

/** Where a pack is kept, or a layer. */
export interface PackFile {
  /** At least one byte and at most `length`, from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array>
}

export interface PackFiles {
  readonly pack: PackFile
  /** Null: no frame refers to it. */
  readonly layer: PackFile | null
}

/** True where not all of the frames' contents are in the pack. */
export const refersToLayer = (frames: readonly Frame[]): boolean => frames.some(({ sourceBytes }) => sourceBytes > 0)

/** `closeFiles` is called once, when who reads has ended. */
export function readFrames(
  frames: readonly Frame[],
  { layer, pack }: PackFiles,
  closeFiles: () => Promise<void>,
): PackReader {
  const frameAt = async (position: number): Promise<LoadedFrame> => {
    const frame = frames[findFrame(frames, position)]
    if (frame === undefined || position >= frame.start + frame.bytes)
      throw new Error("A pack holds less than its index says")
    const [packed, source] = await Promise.all([
      readAll(pack, frame.packOffset, frame.packedBytes),
      readAll(layer, frame.sourceOffset, frame.sourceBytes),
    ])
    return { frame, packed, source }
  }
  let closed: Promise<void> | null = null
  const close = async () => {
    closed ??= closeFiles()
    await closed
  }
  return { frameAt, close }
}

async function readAll(file: PackFile | null, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length; ) {
    if (file === null) throw new Error("A pack refers to a layer that it does not need")
    const piece = await file.read(offset + done, length - done)
    bytes.set(piece, done)
    done += piece.byteLength
  }
  return bytes
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
  const left = new AbortController()
  const reader = await pack.open(AbortSignal.any([signal, left.signal]))
  const pieces = readPieces(reader, range)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pieces.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        left.abort(new DOMException("Nobody reads the contents any more", "AbortError")) // what is read now need not come
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
      const loaded = await reader.frameAt(position)
      const content = unpackFrame(loaded, end - loaded.frame.start)
      const piece = content.subarray(position - loaded.frame.start, end - loaded.frame.start)
      position += piece.byteLength
      yield piece
    }
  } finally {
    await reader.close()
  }
}
