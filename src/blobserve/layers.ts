import { LRUCache } from "lru-cache"
import { ArchiveError } from "../archive/archive-error.ts"
import { LayerEntries } from "../archive/layer-entries.ts"
import { LayerIndex } from "../archive/layer-index.ts"
import { type ScanJob, scanInWorker } from "../archive/scan-in-worker.ts"
import type { ScanBatch, ScanLimits } from "../archive/scan-layer.ts"
import type { Clock } from "../lib/clock.ts"
import { detectEncoding, ENCODING_HEAD, type Encoding } from "../lib/decompress.ts"
import { Semaphore } from "../lib/semaphore.ts"
import { readHead } from "../lib/stream-head.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import type { Trust } from "../oci/reference.ts"
import { type BlobStore, StoreBypass } from "../store/store.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { GrowingLayer } from "./growing-layer.ts"
import { HeldIndexes } from "./held-indexes.ts"
import type { KeptLayer, KeptLayers } from "./kept-layers.ts"
import { copyLayer, type LayerCopy, newLayerCopy } from "./layer-copy.ts"
import type { LayerSource } from "./layer-source.ts"
import { OpenLayer } from "./open-layer.ts"
import { PassingPack } from "./passing-pack.ts"

export interface ScanPolicy {
  readonly limits: ScanLimits
  /** Layers that are scanned at the same time; more wait. */
  readonly concurrency: number
  /** How long a failure answers for the same layer. */
  readonly failureMs: number
  /** How long the end of the process waits for layers to be kept that are read already. */
  readonly keepMs: number
  /** How long it takes until a layer that could not be kept is read again to be kept. */
  readonly unkeptMs: number
  /** For indexes of layers: those that are kept for the next request, those of one image, and half of what all requests hold. */
  readonly memoryBytes: number
}

export interface LayersOptions {
  readonly store: BlobStore
  readonly kept: KeptLayers
  /** Of these images nothing is shown but what their own repositories have sent, though others have brought the same. */
  readonly trust: Trust
  readonly policy: ScanPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** Those who read layers that cannot be kept, for each that are read to be kept. */
const PASSING = 2
/** What a pack needs, as a share of the layer that it is made of: one that refers to it, where more is rare, and any other at most. */
const REFERRING_SHARE = 1 / 16
const WHOLE_SHARE = 1.25
const PACK_EXTRA = 64 * 1024

/** Layers by their digest, each read at most once at a time; the work goes on when those who asked have left. */
export class Layers {
  readonly #options: LayersOptions
  readonly #running = new Map<Digest, OpenLayer>()
  readonly #runs = new Set<Promise<void>>()
  readonly #complete: LRUCache<Digest, OpenLayer>
  readonly held: HeldIndexes
  /** Of indexes, also of those that are not in memory. */
  readonly #sizes = new LRUCache<Digest, number>({ max: 100_000 })
  readonly #failed = new LRUCache<Digest, { readonly layer: OpenLayer; readonly until: number }>({ max: 1000 })
  readonly #slots: Semaphore
  readonly #passing: Semaphore
  readonly #shutdown = new AbortController()

  constructor(options: LayersOptions) {
    this.#options = options
    this.held = new HeldIndexes(2 * options.policy.memoryBytes)
    this.#slots = new Semaphore(options.policy.concurrency)
    this.#passing = new Semaphore(options.policy.concurrency * PASSING)
    this.#complete = new LRUCache({ maxSize: options.policy.memoryBytes })
  }

  /** The layer, which is read from now on if it was not before. */
  open(source: LayerSource): OpenLayer {
    const { digest } = source.descriptor
    const failed = this.#failed.get(digest)
    if (failed !== undefined && failed.until > this.#options.clock.now()) return failed.layer
    return this.#complete.get(digest) ?? this.#running.get(digest) ?? this.#begin(source)
  }

  /** Null: nobody has needed the layer so far. */
  find({ descriptor: { digest } }: LayerSource): OpenLayer | null {
    return this.#complete.get(digest) ?? this.#running.get(digest) ?? null
  }

  /** What the indexes of one image may take together. */
  get indexLimitBytes(): number {
    return this.#options.policy.memoryBytes
  }

  /** What its index takes; 0 where that is not known yet. */
  indexBytes({ descriptor: { digest } }: LayerSource): number {
    return this.#sizes.get(digest) ?? 0
  }

  /** The contents of a layer were evicted: the next who opens it scans it again. */
  forget(layer: OpenLayer): void {
    if (this.#complete.get(layer.digest) === layer) this.#complete.delete(layer.digest)
    if (layer.isOver) this.#ended(layer)
  }

  #ended(layer: OpenLayer): void {
    if (this.#running.get(layer.digest) === layer) this.#running.delete(layer.digest)
  }

  /** Nothing more is read; resolves when what was read completely is kept, or the disk takes too long for it. */
  async close(): Promise<void> {
    const { clock, policy } = this.#options
    this.#shutdown.abort(new RegistryError("UNAVAILABLE", "The server is shutting down", { retryAfterSeconds: 1 }))
    const timer = new AbortController()
    const late = clock.sleep(policy.keepMs, timer.signal).catch(() => {})
    await Promise.race([Promise.all(this.#runs), late])
    timer.abort()
  }

  #begin(source: LayerSource): OpenLayer {
    const { digest } = source.descriptor
    const layer = new OpenLayer(digest)
    this.#running.set(digest, layer)
    const run = this.#run(source, layer).finally(() => {
      this.#ended(layer)
      this.#runs.delete(run)
    })
    this.#runs.add(run)
    return layer
  }

  /** Never rejects. */
  async #run(source: LayerSource, layer: OpenLayer): Promise<void> {
    const { clock, kept, log, metrics, policy } = this.#options
    const { descriptor } = source
    try {
      const found = await kept.find(descriptor, this.#shutdown.signal)
      const complete = found === null ? await this.#scan(source, layer) : { ...found, isKept: true }
      if (found === null) metrics.layersScanned.inc({ result: "success" })
      layer.complete(complete)
      this.#sizes.set(descriptor.digest, complete.index.byteLength)
      if (this.#running.get(descriptor.digest) !== layer) return // what was kept of it is gone already
      const ttl = complete.isKept ? 0 : policy.unkeptMs
      this.#complete.set(descriptor.digest, layer, { size: complete.index.byteLength, ttl })
    } catch (cause) {
      const error = failure(descriptor, cause)
      layer.fail(error)
      metrics.layersScanned.inc({ result: "failure" })
      this.#failed.set(descriptor.digest, { layer, until: clock.now() + policy.failureMs })
      if (!this.#shutdown.signal.aborted) log.warn("cannot read a layer", { digest: descriptor.digest, error: cause })
    }
  }

  /** What cannot be kept passes through, and another attempt to keep it is made later. */
  async #scan(source: LayerSource, layer: OpenLayer): Promise<ReadLayer> {
    const { signal } = this.#shutdown
    const release = await this.#slots.acquire(signal)
    try {
      const { head, rest } = await readHead(await source.open(signal), ENCODING_HEAD, signal)
      const growing = await this.#grow(source, detectEncoding(head))
        .catch(bypassed)
        .catch(async (error) => {
          await rest.cancel(error)
          throw error
        })
      if (growing === null) return await this.#pass(source, layer, rest)
      const read = await this.#keep({ source, layer, growing, stream: rest }).catch(bypassed)
      return read ?? (await this.#pass(source, layer, await source.open(signal)))
    } finally {
      release()
    }
  }

  /** Rejects with StoreBypass when there is no room for it. */
  async #grow({ descriptor }: LayerSource, encoding: Encoding): Promise<GrowingLayer> {
    const { store } = this.#options
    const isReferred = encoding === "gzip"
    const layer = isReferred ? await this.#copy(descriptor) : null
    const share = isReferred ? REFERRING_SHARE : WHOLE_SHARE
    try {
      return new GrowingLayer({ pack: await store.spool(Math.ceil(descriptor.size * share) + PACK_EXTRA), layer })
    } catch (error) {
      await layer?.close()
      throw error
    }
  }

  /** What is read of it before it is verified is read by an index that whoever sends it can make up. */
  async #copy(descriptor: Descriptor): Promise<LayerCopy> {
    const { store, trust } = this.#options
    if (trust === "remote") return await newLayerCopy(store, descriptor)
    return await copyLayer(store, descriptor, this.#shutdown.signal)
  }

  async #keep({ growing, layer, source, stream }: Keeping): Promise<ReadLayer> {
    const { kept } = this.#options
    layer.grow(growing.entries, growing)
    try {
      const take = async (batch: ScanBatch) => await growing.take(batch)
      const bytes = await this.#read(source, layer, { stream, isKept: true, store: growing.write, take })
      const index = new LayerIndex(bytes)
      layer.complete({ index, pack: growing }) // nobody has to wait until the disk confirms what was verified
      const found = await growing
        .keep()
        .then(async (pack) => ({ ...(await kept.keep(source.descriptor, { index, bytes, pack })), isKept: true }))
        .catch((error) => this.#unkept(source, index, error)) // what was told to be verified stays so
      layer.complete(found) // before what has grown is closed, so that there is always something to read
      return found
    } finally {
      await growing.end()
    }
  }

  /** What its contents need was found out, but the disk did not take them after all. */
  #unkept(source: LayerSource, index: LayerIndex, error: unknown): ReadLayer {
    const { digest } = source.descriptor
    if (!(error instanceof StoreBypass)) this.#options.log.warn("cannot keep the files of a layer", { digest, error })
    return { index, pack: this.#passingPack(source), isKept: false }
  }

  #passingPack(source: LayerSource): PassingPack {
    return new PassingPack({ source, limits: this.#options.policy.limits, slots: this.#passing })
  }

  async #pass(source: LayerSource, layer: OpenLayer, stream: ReadableStream<Uint8Array>): Promise<ReadLayer> {
    const entries = new LayerEntries()
    const pack = this.#passingPack(source)
    layer.grow(entries, pack)
    const take = async (batch: ScanBatch) => {
      for (const packed of batch.packed) packed.buffer.transfer(0) // given back now, not when the collector finds it
      for (const entry of batch.entries) entries.add(entry)
    }
    const bytes = await this.#read(source, layer, { stream, isKept: false, store: null, take })
    return { index: new LayerIndex(bytes), pack, isKept: false }
  }

  /** Gives the bytes of the index. */
  async #read(source: LayerSource, layer: OpenLayer, work: ReadWork): Promise<Uint8Array<ArrayBuffer>> {
    const { clock, log, policy } = this.#options
    const { digest, size } = source.descriptor
    const { signal } = this.#shutdown
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

interface Keeping {
  readonly source: LayerSource
  readonly layer: OpenLayer
  readonly growing: GrowingLayer
  /** The layer as it is sent. */
  readonly stream: ReadableStream<Uint8Array>
}

interface ReadLayer extends KeptLayer {
  readonly isKept: boolean
}

/** The store has told why it takes nothing. */
function bypassed(error: unknown): null {
  if (!(error instanceof StoreBypass)) throw error
  return null
}

/** What those who wait are told. */
function failure({ digest }: Descriptor, cause: unknown): unknown {
  if (cause instanceof ArchiveError) {
    const message = `Cannot serve files of layer ${digest}: ${cause.message}`
    return new RegistryError("MANIFEST_INVALID", message, { status: 502, cause })
  }
  return cause
}
