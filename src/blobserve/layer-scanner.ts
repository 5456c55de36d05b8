import { LayerEntries } from "../archive/layer-entries.ts"
import { LayerIndex } from "../archive/layer-index.ts"
import { type ScanJob, scanInWorker } from "../archive/scan-in-worker.ts"
import type { ScanBatch, ScanLimits } from "../archive/scan-layer.ts"
import type { Clock } from "../lib/clock.ts"
import { detectEncoding, ENCODING_HEAD, type Encoding } from "../lib/decompress.ts"
import { Semaphore } from "../lib/semaphore.ts"
import { release } from "../lib/sole-bytes.ts"
import { readHead } from "../lib/stream-head.ts"
import type { Trust } from "../oci/reference.ts"
import { type BlobStore, StoreBypass } from "../store/store.ts"
import type { Logger } from "../telemetry/log.ts"
import { GrowingLayer } from "./growing-layer.ts"
import type { KeptLayer, KeptLayers } from "./kept-layers.ts"
import { copyLayer, type LayerCopy, newLayerCopy } from "./layer-copy.ts"
import type { LayerSource } from "./layer-source.ts"
import type { OpenLayer } from "./open-layer.ts"
import { type PacePolicy, pacedSource } from "./paced-source.ts"
import { PassingPack } from "./passing-pack.ts"
import { ScanTurns, type Turn, type TurnsPolicy } from "./scan-turns.ts"

export interface ScanPolicy extends TurnsPolicy {
  readonly limits: ScanLimits
  /** When a source is slow. */
  readonly pace: PacePolicy
}

export interface LayerScannerOptions {
  readonly store: BlobStore
  readonly kept: KeptLayers
  readonly trust: Trust
  readonly policy: ScanPolicy
  readonly clock: Clock
  readonly log: Logger
}

/** Those who read layers that cannot be kept, for each that are read to be kept. */
const PASSING = 2
/** What a pack needs, as a share of the layer that it is made of: one that refers to it, where more is rare, and any other at most. */
const REFERRING_SHARE = 1 / 16
const WHOLE_SHARE = 1.25
const PACK_EXTRA = 64 * 1024

/** Reads layers, to be kept where there is room. */
export class LayerScanner {
  readonly #options: LayerScannerOptions
  readonly #turns: ScanTurns
  readonly #passing: Semaphore

  constructor(options: LayerScannerOptions) {
    this.#options = options
    this.#turns = new ScanTurns(options.policy)
    this.#passing = new Semaphore(options.policy.concurrency * PASSING)
  }

  /** Waits until a layer of the host may be scanned. */
  async turn(host: string, signal: AbortSignal): Promise<Turn> {
    return await this.#turns.acquire(host, signal)
  }

  /** Ends the turn. What cannot be kept passes through, and another attempt to keep it is made later. */
  async scan(turn: Turn, source: LayerSource, layer: OpenLayer, signal: AbortSignal): Promise<ReadLayer> {
    const over = new AbortController()
    const slow = () => {
      layer.slow()
      turn.slow()
    }
    try {
      const { clock, policy } = this.#options
      const paced = pacedSource(source, { clock, policy: policy.pace, signal: over.signal, slow })
      return await this.#scan({
        source: paced,
        original: source,
        layer,
        signal: AbortSignal.any([signal, turn.signal]),
      })
    } finally {
      over.abort()
      turn.end()
    }
  }

  async #scan(job: Job): Promise<ReadLayer> {
    const { signal, source } = job
    const { head, rest } = await readHead(await source.open(signal), ENCODING_HEAD, signal)
    const growing = await this.#grow(job, detectEncoding(head))
      .catch(bypassed)
      .catch(async (error) => {
        await rest.cancel(error)
        throw error
      })
    if (growing === null) return await this.#pass(job, rest)
    const read = await this.#keep(job, growing, rest).catch(bypassed)
    return read ?? (await this.#pass(job, await source.open(signal)))
  }

  /** Rejects with StoreBypass when there is no room for it. */
  async #grow(job: Job, encoding: Encoding): Promise<GrowingLayer> {
    const { store } = this.#options
    const { descriptor } = job.source
    const isReferred = encoding === "gzip"
    const layer = isReferred ? await this.#copy(job) : null
    const share = isReferred ? REFERRING_SHARE : WHOLE_SHARE
    try {
      return new GrowingLayer({ pack: await store.spool(Math.ceil(descriptor.size * share) + PACK_EXTRA), layer })
    } catch (error) {
      await layer?.close()
      throw error
    }
  }

  /** What is read of it before it is verified is read by an index that whoever sends it can make up. */
  async #copy({ signal, source: { descriptor } }: Job): Promise<LayerCopy> {
    const { store, trust } = this.#options
    return trust === "remote" ? await newLayerCopy(store, descriptor) : await copyLayer(store, descriptor, signal)
  }

  async #keep(job: Job, growing: GrowingLayer, stream: LayerStream): Promise<ReadLayer> {
    const { kept } = this.#options
    const { layer, source } = job
    layer.grow(growing.entries, growing)
    try {
      const take = async (batch: ScanBatch) => await growing.take(batch)
      const bytes = await this.#read(job, { stream, isKept: true, store: growing.write, take })
      const index = new LayerIndex(bytes)
      layer.complete({ index, pack: growing }) // nobody has to wait until the disk confirms what was verified
      const found = await growing
        .keep()
        .then(async (pack) => ({
          ...(await kept.keep(source.descriptor, layer.scope, { index, bytes, pack })),
          isKept: true,
        }))
        .catch((error) => this.#unkept(job, index, error)) // what was told to be verified stays so
      layer.complete(found) // before what has grown is closed, so that there is always something to read
      return found
    } finally {
      await growing.end()
    }
  }

  /** What its contents need was found out, but the disk did not take them after all. */
  #unkept(job: Job, index: LayerIndex, error: unknown): ReadLayer {
    const { digest } = job.source.descriptor
    if (!(error instanceof StoreBypass)) this.#options.log.warn("cannot keep the files of a layer", { digest, error })
    return { index, pack: this.#passingPack(job), isKept: false }
  }

  #passingPack({ original: source }: Job): PassingPack {
    return new PassingPack({ source, limits: this.#options.policy.limits, slots: this.#passing })
  }

  async #pass(job: Job, stream: LayerStream): Promise<ReadLayer> {
    const entries = new LayerEntries()
    const pack = this.#passingPack(job)
    job.layer.grow(entries, pack)
    const take = async (batch: ScanBatch) => {
      for (const { buffer } of batch.packed) release(buffer)
      for (const entry of batch.entries) entries.add(entry)
    }
    const bytes = await this.#read(job, { stream, isKept: false, store: null, take })
    return { index: new LayerIndex(bytes), pack, isKept: false }
  }

  /** Gives the bytes of the index. */
  async #read({ layer, signal, source }: Job, work: ReadWork): Promise<Uint8Array<ArrayBuffer>> {
    const { clock, log, policy } = this.#options
    const { digest, size } = source.descriptor
    const startedAt = clock.now()
    const found = { entries: 0, packBytes: 0 }
    const take = async (batch: ScanBatch) => {
      found.entries += batch.entries.length
      for (const { packedBytes } of batch.frames) found.packBytes += packedBytes
      await work.take(batch)
      layer.wake()
    }
    const bytes = await scanInWorker({ ...work, limits: policy.limits, signal, take })
    log.info("layer scanned", { digest, size, ...found, ms: Math.round(clock.now() - startedAt) })
    return bytes
  }
}

type ReadWork = Pick<ScanJob, "isKept" | "store" | "stream" | "take">

interface Job {
  readonly source: LayerSource
  /** The same, for those who read it later. */
  readonly original: LayerSource
  readonly layer: OpenLayer
  readonly signal: AbortSignal
}

/** The layer as it is sent. */
type LayerStream = ReadableStream<Uint8Array>

export interface ReadLayer extends KeptLayer {
  readonly isKept: boolean
}

/** The store has told why it takes nothing. */
function bypassed(error: unknown): null {
  if (!(error instanceof StoreBypass)) throw error
  return null
}
