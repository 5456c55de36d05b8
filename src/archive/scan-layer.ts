import { EntryCollector, type EntryLimits } from "./entry-collector.ts"
import type { Frame } from "./frame.ts"
import { FrameWriter } from "./frame-writer.ts"
import type { LayerEntry } from "./layer-entry.ts"
import { encodeIndex } from "./layer-index.ts"
import { type ArchiveLimits, LimitedArchive } from "./limited-archive.ts"
import { TarReader } from "./tar-reader.ts"

export interface ScanLimits extends EntryLimits, ArchiveLimits {}

export interface ScanOptions {
  readonly limits: ScanLimits
  /** True where frames may refer to the layer; false where all of their content is to come with them. */
  readonly isKept: boolean
}

/** A part of what was found, in order: the content of the entries is in these frames and those before. */
export interface ScanBatch {
  readonly entries: readonly LayerEntry[]
  readonly frames: readonly Frame[]
  readonly packed: readonly Uint8Array<ArrayBuffer>[]
}

/** The layer as it is sent. */
export interface ScanInput {
  /** The next piece; null after the last. */
  next(): Promise<Uint8Array<ArrayBuffer> | null>
  /** Told when nothing of the piece is needed any more. */
  used(piece: Uint8Array<ArrayBuffer>): void
}

/** Frames that wait until they are handed on together, and those of them that may go on being compressed then. */
const MAX_WAITING = 4
const PARALLEL = 2
/** When no more comes for so long, the blocks that have come are handed on; and then, all that has. */
const IDLE_MS = 3
const LONG_IDLE_MS = 15
/** Entries that are handed on at once: whoever takes them does nothing else meanwhile. */
const MAX_FRESH = 2000

/**
 * Reads a layer once, in any compression. What it finds goes to `emit` as soon as it is found. Gives the index of the
 * layer. Rejects with ArchiveError for what is no archive, is damaged, or goes beyond the limits.
 */
export async function scanLayer(
  input: ScanInput,
  { isKept, limits }: ScanOptions,
  emit: (batch: ScanBatch) => Promise<void>,
): Promise<Uint8Array<ArrayBuffer>> {
  const [most, left] = isKept ? [MAX_WAITING, PARALLEL] : [1, 0] // what is not compressed is large, and ready at once
  const frames = new FrameWriter({ isKept })
  const collector = new EntryCollector(limits)
  const archive = new LimitedArchive(new TarReader(collector), frames, limits)
  const written: Frame[] = []
  const hand = async (atMost: number) => {
    const batch = await nextBatch(frames, collector, atMost)
    written.push(...batch.frames)
    if (batch.frames.length + batch.entries.length > 0) await emit(batch)
  }
  const flush = async () => {
    frames.flush()
    await hand(0)
  }
  const flushBlocks = async () => {
    frames.flushBlocks()
    await hand(0)
  }
  const read = async (piece: Uint8Array<ArrayBuffer>) => {
    archive.write(piece)
    while (archive.step()) {
      if (frames.waiting >= most) await hand(left)
      if (collector.fresh >= MAX_FRESH) await hand(0)
      if (collector.fresh >= MAX_FRESH) await flush()
    }
    input.used(piece)
  }
  try {
    for (let next = input.next(); ; ) {
      if (collector.fresh > 0 && (await isIdle(next, IDLE_MS))) await flushBlocks()
      if (collector.fresh > 0 && (await isIdle(next, LONG_IDLE_MS))) await flush()
      const piece = await next
      if (piece === null) break
      next = input.next()
      await read(piece)
    }
    archive.end()
  } finally {
    archive.close()
  }
  await flush()
  return encodeIndex(() => collector.entries.entries(), written)
}

async function isIdle(next: Promise<unknown>, ms: number): Promise<boolean> {
  return await Promise.race([next.then(() => false), Bun.sleep(ms).then(() => true)])
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
