import { LRUCache } from "lru-cache"
import { ArchiveError } from "../archive/archive-error.ts"
import type { Clock } from "../lib/clock.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { RegistryError } from "../oci/error.ts"
import type { Trust } from "../oci/reference.ts"
import type { BlobStore } from "../store/store.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { HeldIndexes } from "./held-indexes.ts"
import type { KeptLayers } from "./kept-layers.ts"
import { LayerScanner, type ReadLayer, type ScanPolicy } from "./layer-scanner.ts"
import { type LayerSource, scopeOf } from "./layer-source.ts"
import { OpenLayer } from "./open-layer.ts"

export interface LayersPolicy extends ScanPolicy {
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
  readonly policy: LayersPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** A layer that is being read, for those who have it from one place. */
interface Run {
  readonly place: string
  readonly layer: OpenLayer
  /** Aborted when the layer was had from elsewhere. */
  readonly left: AbortController
  isReading: boolean
}

/**
 * Layers by their digest, each read at most once at a time, unless its source is slow and somebody has another; the work
 * goes on when those who asked have left.
 */
export class Layers {
  readonly #options: LayersOptions
  /** By scope, as all that is complete. */
  readonly #running = new Map<string, Run[]>()
  readonly #ends = new Set<Promise<void>>()
  readonly #complete: LRUCache<string, OpenLayer>
  readonly held: HeldIndexes
  /** Of indexes, also of those that are not in memory. */
  readonly #sizes = new LRUCache<string, number>({ max: 100_000 })
  /** By place and digest: another source may well have the layer. */
  readonly #failed = new LRUCache<string, { readonly layer: OpenLayer; readonly until: number }>({ max: 1000 })
  readonly #scanner: LayerScanner
  readonly #shutdown = new AbortController()

  constructor(options: LayersOptions) {
    this.#options = options
    this.held = new HeldIndexes(2 * options.policy.memoryBytes)
    this.#scanner = new LayerScanner(options)
    this.#complete = new LRUCache({ maxSize: options.policy.memoryBytes })
  }

  /** The layer, which is read from now on if it was not before. */
  open(source: LayerSource): OpenLayer {
    const known = this.find(source)
    if (known !== null) return known
    const failed = this.#failed.get(keyOf(source))
    const isRecent = failed !== undefined && failed.until > this.#options.clock.now()
    if (isRecent && this.#leader(this.#scopeOf(source)) === null) return failed.layer
    return this.#begin(source)
  }

  /** Null: nobody has needed the layer so far, or all who did have it from elsewhere. */
  find(source: LayerSource): OpenLayer | null {
    const scope = this.#scopeOf(source)
    const complete = this.#complete.get(scope)
    if (complete !== undefined) return complete
    return this.#runs(scope).find(({ place }) => place === source.place)?.layer ?? null
  }

  /** What the indexes of one image may take together. */
  get indexLimitBytes(): number {
    return this.#options.policy.memoryBytes
  }

  /** What its index takes; 0 where that is not known yet. */
  indexBytes(source: LayerSource): number {
    return this.#sizes.get(this.#scopeOf(source)) ?? 0
  }

  /** The contents of a layer were evicted: the next who opens it scans it again. */
  forget(layer: OpenLayer): void {
    if (this.#complete.get(layer.scope) === layer) this.#complete.delete(layer.scope)
    if (layer.isOver) this.#ended(layer)
  }

  #scopeOf(source: LayerSource): string {
    return scopeOf(this.#options.trust, source)
  }

  #runs(scope: string): readonly Run[] {
    return this.#running.get(scope) ?? []
  }

  #ended(layer: OpenLayer): void {
    const others = this.#runs(layer.scope).filter((run) => run.layer !== layer)
    if (others.length > 0) this.#running.set(layer.scope, others)
    else this.#running.delete(layer.scope)
  }

  /** Nothing more is read; resolves when what was read completely is kept, or the disk takes too long for it. */
  async close(): Promise<void> {
    const { clock, policy } = this.#options
    this.#shutdown.abort(new RegistryError("UNAVAILABLE", "The server is shutting down", { retryAfterSeconds: 1 }))
    const timer = new AbortController()
    const late = clock.sleep(policy.keepMs, timer.signal).catch(() => {})
    await Promise.race([Promise.all(this.#ends), late])
    timer.abort()
  }

  #begin(source: LayerSource): OpenLayer {
    const { descriptor, place } = source
    const scope = this.#scopeOf(source)
    const layer = new OpenLayer(descriptor.digest, scope)
    const run: Run = { place, layer, left: new AbortController(), isReading: false }
    this.#running.set(scope, [...this.#runs(scope), run])
    const end = this.#run(source, run).finally(() => {
      this.#ended(layer)
      this.#ends.delete(end)
    })
    this.#ends.add(end)
    return layer
  }

  /** Never rejects. */
  async #run(source: LayerSource, run: Run): Promise<void> {
    const { clock, log, metrics, policy } = this.#options
    const { descriptor } = source
    const { layer } = run
    try {
      const read = await this.#read(source, run)
      if (read === null) return
      layer.complete(read)
      this.#sizes.set(layer.scope, read.index.byteLength)
      if (!this.#runs(layer.scope).includes(run)) return // what was kept of it is gone already
      this.#share(run)
      const ttl = read.isKept ? 0 : policy.unkeptMs
      this.#complete.set(layer.scope, layer, { size: read.index.byteLength, ttl })
    } catch (cause) {
      if (layer.isVerified) return // it came from elsewhere
      const error = failure(descriptor, cause)
      layer.fail(error)
      metrics.layersScanned.inc({ result: "failure" })
      this.#failed.set(keyOf(source), { layer, until: clock.now() + policy.failureMs })
      if (!this.#shutdown.signal.aborted) log.warn("cannot read a layer", { digest: descriptor.digest, error: cause })
    }
  }

  /** Null: somebody else has read it. */
  async #read(source: LayerSource, run: Run): Promise<ReadLayer | null> {
    const { descriptor, host } = source
    const { kept, trust } = this.#options
    const { scope } = run.layer
    const signal = AbortSignal.any([this.#shutdown.signal, run.left.signal])
    const found = await kept.find(descriptor, scope, signal)
    if (found !== null) return { ...found, isKept: true }
    while (!(await this.#followed(run, signal))) {
      const turn = await this.#scanner.turn(host, signal)
      if (this.#leader(scope, run) !== null) {
        turn.end()
        continue
      }
      const isRead = this.#runs(scope).some((other) => other !== run && other.isReading)
      const isApart = isRead || trust === "remote" // what strangers send is nobody else's
      const own: LayerSource = { ...source, open: async (opener) => await source.open(opener, isApart) }
      run.isReading = true
      const read = await this.#scanner.scan(turn, own, run.layer, signal)
      this.#options.metrics.layersScanned.inc({ result: "success" })
      return read
    }
    return null
  }

  /** True when others have read the layer; false when none of them does any more, or not fast enough. */
  async #followed(run: Run, signal: AbortSignal): Promise<boolean> {
    const { layer } = run
    const next = () => this.#leader(layer.scope, run)
    for (let leader = next(); leader !== null; leader = next()) {
      layer.follow(leader)
      while (!leader.isOver && !leader.isSlow) await leader.changed(signal)
      if (layer.isVerified) return true
    }
    return false
  }

  /** One that reads the layer, and does it well. */
  #leader(scope: string, follower?: Run): OpenLayer | null {
    const isGood = ({ isReading, layer }: Run) => isReading && (layer.isVerified || !(layer.hasFailed || layer.isSlow))
    return this.#runs(scope).find((run) => run !== follower && isGood(run))?.layer ?? null
  }

  /** Nobody has to read any more what is here. */
  #share({ layer }: Run): void {
    for (const other of this.#runs(layer.scope)) {
      if (other.layer === layer || other.layer.isVerified) continue
      other.layer.follow(layer)
      other.left.abort(new DOMException("The layer came from elsewhere", "AbortError"))
    }
  }
}

const keyOf = ({ descriptor, place }: LayerSource): string => `${descriptor.digest} ${place}`

/** What those who wait are told. */
function failure({ digest }: Descriptor, cause: unknown): unknown {
  if (cause instanceof ArchiveError) {
    const message = `Cannot serve files of layer ${digest}: ${cause.message}`
    return new RegistryError("MANIFEST_INVALID", message, { status: 502, cause })
  }
  return cause
}
