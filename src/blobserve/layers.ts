import { LRUCache } from "lru-cache"
import { ArchiveError } from "../archive/archive-error.ts"
import { LayerIndex } from "../archive/layer-index.ts"
import { scanInWorker } from "../archive/scan-in-worker.ts"
import type { ScanLimits } from "../archive/scan-layer.ts"
import type { Clock } from "../lib/clock.ts"
import { Semaphore } from "../lib/semaphore.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { type BlobStore, StoreBypass } from "../store/store.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { GrowingLayer } from "./growing-layer.ts"
import type { KeptLayer, KeptLayers } from "./kept-layers.ts"
import type { LayerSource } from "./layer-source.ts"
import { OpenLayer } from "./open-layer.ts"

export interface ScanPolicy {
  readonly limits: ScanLimits
  /** Layers that are scanned at the same time; more wait. */
  readonly concurrency: number
  /** How long a failure answers for the same layer. */
  readonly failureMs: number
  /** For indexes of layers. */
  readonly memoryBytes: number
}

export interface LayersOptions {
  readonly store: BlobStore
  readonly kept: KeptLayers
  readonly policy: ScanPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** What a pack needs more than the layer that it is made of, at most, as a share of the layer. */
const PACK_GROWTH = 1.25
const PACK_EXTRA = 64 * 1024

/** Layers by their digest, each read at most once at a time; the work goes on when those who asked have left. */
export class Layers {
  readonly #options: LayersOptions
  readonly #running = new Map<Digest, OpenLayer>()
  readonly #complete: LRUCache<Digest, OpenLayer>
  readonly #failed = new LRUCache<Digest, { readonly layer: OpenLayer; readonly until: number }>({ max: 1000 })
  readonly #slots: Semaphore
  readonly #shutdown = new AbortController()

  constructor(options: LayersOptions) {
    this.#options = options
    this.#slots = new Semaphore(options.policy.concurrency)
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

  /** The contents of a layer were evicted: the next who opens it scans it again. */
  forget(layer: OpenLayer): void {
    if (this.#complete.get(layer.digest) === layer) this.#complete.delete(layer.digest)
  }

  shutdown(): void {
    this.#shutdown.abort(new RegistryError("UNAVAILABLE", "The server is shutting down", { retryAfterSeconds: 1 }))
  }

  #begin(source: LayerSource): OpenLayer {
    const { digest } = source.descriptor
    const layer = new OpenLayer(digest)
    this.#running.set(digest, layer)
    void this.#run(source, layer).finally(() => this.#running.delete(digest))
    return layer
  }

  /** Never rejects. */
  async #run(source: LayerSource, layer: OpenLayer): Promise<void> {
    const { clock, kept, log, metrics, policy } = this.#options
    const { descriptor } = source
    try {
      const found = await kept.find(descriptor.digest, this.#shutdown.signal)
      const complete = found ?? (await this.#scan(source, layer))
      if (found === null) metrics.layersScanned.inc({ result: "success" })
      layer.complete(complete)
      this.#complete.set(descriptor.digest, layer, { size: complete.index.byteLength })
    } catch (cause) {
      const error = failure(descriptor, cause)
      layer.fail(error)
      metrics.layersScanned.inc({ result: "failure" })
      this.#failed.set(descriptor.digest, { layer, until: clock.now() + policy.failureMs })
      if (!this.#shutdown.signal.aborted) log.warn("cannot read a layer", { digest: descriptor.digest, error: cause })
    }
  }

  async #scan(source: LayerSource, layer: OpenLayer): Promise<KeptLayer> {
    const { signal } = this.#shutdown
    const release = await this.#slots.acquire(signal)
    try {
      const spool = await this.#options.store.spool(Math.ceil(source.descriptor.size * PACK_GROWTH) + PACK_EXTRA)
      const growing = new GrowingLayer(spool)
      layer.grow(growing)
      try {
        const kept = await this.#fill(source, layer, growing)
        layer.complete(kept) // before what has grown is closed, so that there is always something to read
        return kept
      } finally {
        await growing.end()
      }
    } finally {
      release()
    }
  }

  async #fill(source: LayerSource, layer: OpenLayer, growing: GrowingLayer): Promise<KeptLayer> {
    const { clock, kept, log, policy } = this.#options
    const { digest, size } = source.descriptor
    const startedAt = clock.now()
    const stream = await source.open(this.#shutdown.signal)
    const take: Parameters<typeof scanInWorker>[0]["take"] = async (batch) => {
      await growing.take(batch)
      layer.wake()
    }
    const bytes = await scanInWorker({ stream, limits: policy.limits, take })
    const index = new LayerIndex(bytes)
    const pack = await growing.keep()
    const ms = Math.round(clock.now() - startedAt)
    log.info("layer scanned", { digest, size, entries: index.count, packBytes: pack.size, ms })
    return await kept.keep(digest, { index, bytes, pack })
  }
}

/** What those who wait are told. */
function failure({ digest }: Descriptor, cause: unknown): unknown {
  if (cause instanceof ArchiveError) {
    const message = `Cannot serve files of layer ${digest}: ${cause.message}`
    return new RegistryError("MANIFEST_INVALID", message, { status: 502, cause })
  }
  if (cause instanceof StoreBypass) {
    const message = `Cannot serve files of layer ${digest}: there is no room for them, see "blobSpace"`
    return new RegistryError("UNAVAILABLE", message, { cause, retryAfterSeconds: 5 })
  }
  return cause
}
