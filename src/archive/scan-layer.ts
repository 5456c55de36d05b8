import { decompressed, detectEncoding, ENCODING_HEAD } from "../lib/decompress.ts"
import { observeStream } from "../lib/stream.ts"
import { readHead } from "../lib/stream-head.ts"
import { ArchiveError } from "./archive-error.ts"
import { EntryCollector, type EntryLimits } from "./entry-collector.ts"
import type { Frame } from "./frame.ts"
import { FrameWriter } from "./frame-writer.ts"
import type { LayerEntry } from "./layer-entry.ts"
import { encodeIndex } from "./layer-index.ts"
import { TarReader } from "./tar-reader.ts"

export interface ScanLimits extends EntryLimits {
  /** Of the archive, uncompressed. */
  readonly maxBytes: number
  /** How much larger than the compressed layer the archive may be, once it has more than `ratioFromBytes`. */
  readonly maxRatio: number
  readonly ratioFromBytes: number
}

/** A part of what was found, in order: the content of the entries is in these frames and those before. */
export interface ScanBatch {
  readonly entries: readonly LayerEntry[]
  readonly frames: readonly Frame[]
  readonly packed: readonly Uint8Array<ArrayBuffer>[]
}

/** Frames that are compressed at the same time. */
const PARALLEL = 4
/** When no more comes for so long, what has come is handed on as it is. */
const IDLE_MS = 3

/**
 * Reads a layer once, in any compression. What it finds goes to `emit` as soon as it is found. Gives the index of the
 * layer. Rejects with ArchiveError for what is no archive, is damaged, or goes beyond the limits.
 */
export async function scanLayer(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  limits: ScanLimits,
  emit: (batch: ScanBatch) => Promise<void>,
): Promise<Uint8Array<ArrayBuffer>> {
  const frames = new FrameWriter()
  const collector = new EntryCollector(frames, limits)
  const archive = new TarReader(collector)
  const written: Frame[] = []
  const hand = async (atMost: number) => {
    const batch = await nextBatch(frames, collector, atMost)
    written.push(...batch.frames)
    if (batch.frames.length + batch.entries.length > 0) await emit(batch)
  }
  const reader = (await limited(stream, limits)).getReader()
  try {
    for (let next = read(reader); ; ) {
      if (collector.hasFresh && (await isIdle(next))) {
        frames.flush()
        await hand(0)
      }
      const { value } = await next
      if (value === undefined) break
      next = read(reader)
      archive.update(value)
      if (frames.waiting >= PARALLEL) await hand(PARALLEL - 1)
    }
    archive.end()
  } catch (error) {
    reader.cancel(error).catch(() => {}) // it has failed itself
    throw error
  }
  frames.flush()
  await hand(0)
  return encodeIndex(() => collector.entries.entries(), written)
}

interface Reader {
  read(): Promise<{ readonly value?: Uint8Array | undefined }>
}
type Next = ReturnType<Reader["read"]>

function read(reader: Reader): Next {
  const next = reader.read()
  next.catch(() => {}) // whoever awaits it is told
  return next
}

async function isIdle(next: Next): Promise<boolean> {
  const here = next.then(
    () => false,
    () => false,
  )
  return await Promise.race([here, Bun.sleep(IDLE_MS).then(() => true)])
}

/** Waits for frames until at most `atMost` are still being compressed. */
async function nextBatch(frames: FrameWriter, collector: EntryCollector, atMost: number): Promise<ScanBatch> {
  const collected: Frame[] = []
  const packed: Uint8Array<ArrayBuffer>[] = []
  while (frames.waiting > atMost) {
    const next = await frames.collect()
    if (next === null) break
    collected.push(next.frame)
    packed.push(next.packed)
  }
  return { entries: collector.take(frames.collected), frames: collected, packed }
}

/** The archive, which errors where it gets too large. */
async function limited(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  { maxBytes, maxRatio, ratioFromBytes }: ScanLimits,
): Promise<ReadableStream<Uint8Array>> {
  let compressed = 0
  let size = 0
  const count = ({ byteLength }: Uint8Array) => {
    compressed += byteLength
  }
  const counted = observeStream(stream, { chunk: count, end: () => {} })
  const { head, rest } = await readHead(counted, ENCODING_HEAD)
  const archive = decompressed(rest, detectEncoding(head))
  return archive.pipeThrough(
    new TransformStream({
      transform: (chunk, controller) => {
        size += chunk.byteLength
        if (size > maxBytes) throw new ArchiveError(`it has more than ${maxBytes} bytes`)
        if (size > ratioFromBytes && size > compressed * maxRatio)
          throw new ArchiveError(`it is more than ${maxRatio} times as large as it was compressed`)
        controller.enqueue(chunk)
      },
    }),
  )
}
