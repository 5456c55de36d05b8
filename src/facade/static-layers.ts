import type { LayerRequest, PlacedRequest } from "../layer/layer.ts"
import { type BackoffPolicy, backoffMs } from "../lib/backoff.ts"
import type { Clock } from "../lib/clock.ts"
import { formatPlatform, type Platform } from "../oci/platform.ts"
import { errorText, type Logger } from "../telemetry/log.ts"
import type { Conditions } from "../telemetry/readiness.ts"
import { contribute, type LayerSources } from "./contribute.ts"
import { type Latest, lastingLayers, latestKey } from "./lasting-layers.ts"

export interface StaticLayersOptions {
  readonly requests: readonly PlacedRequest[]
  readonly sources: LayerSources
  /** A layer that can be loaded for this platform counts as loaded. */
  readonly platform: Platform
  readonly backoff: BackoffPolicy
  /** How long a layer that can no longer be loaded is used as it was, before it is tried again. */
  readonly staleMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly readiness: Conditions
  /** Another list, read with the same sources, whose layers are known already; null: none. */
  readonly earlier: StaticLayers | null
}

const CONDITION = "static layers"

/**
 * The layers that every image gets. Those that cannot be loaded at first are tried again, and keep requests away until
 * they are there; those that break later are used as they were.
 */
export class StaticLayers {
  /** What the layers are had from; they outlast that they can no longer be had. */
  readonly sources: LayerSources
  readonly #options: StaticLayersOptions
  readonly #latest: Latest
  readonly #stop = new AbortController()
  /** What cannot be loaded, null while that is not known; layers that are used as they were. */
  readonly #faults: { missing: string | null; readonly stale: Map<string, string> } = {
    missing: null,
    stale: new Map(),
  }

  constructor(options: StaticLayersOptions) {
    this.#options = options
    this.#latest = options.earlier === null ? new Map() : options.earlier.#latestOf(options.requests)
    this.sources = lastingLayers(options.sources, {
      ...options,
      latest: this.#latest,
      onAnswer: (request, error) => this.#note(request, error),
    })
  }

  /** Begins to load the list. */
  watch(): void {
    this.#options.readiness.pending(CONDITION, "not loaded yet")
    void this.#load()
  }

  close(): void {
    this.#stop.abort(new Error("The list is no longer in use"))
  }

  /** What is known of some layers. */
  #latestOf(requests: readonly PlacedRequest[]): Latest {
    const keys = new Set(requests.map(latestKey))
    return new Map([...this.#latest].filter(([key]) => keys.has(key)))
  }

  async #load(): Promise<void> {
    const { backoff, clock, log, requests } = this.#options
    const { signal } = this.#stop
    for (const { kind, text } of requests) log.info("preparing static layer", { ref: text, type: kind })
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const faults = await this.#attempt(signal)
      if (signal.aborted) return
      this.#settle(faults)
      if (faults.length === 0) return
      await clock.sleep(backoffMs(attempt, backoff), signal).catch(() => {})
    }
  }

  #settle(faults: readonly string[]): void {
    const told = this.#faults.missing ?? ""
    this.#faults.missing = faults.join("; ")
    this.#report()
    if (told === this.#faults.missing) return // the same again
    for (const fault of faults) this.#options.log.error("cannot load a static layer", { reason: fault })
  }

  /** What is wrong, if anything is. */
  async #attempt(signal: AbortSignal): Promise<readonly string[]> {
    const { log, platform, requests } = this.#options
    const wanted = formatPlatform(platform)
    const faults = await Promise.all(
      requests.map(async (request) => {
        try {
          const contribution = await contribute(this.sources, request, platform, signal)
          if (contribution === null)
            log.warn("a static layer has nothing for the default platform", { ref: request.text, platform: wanted })
          return []
        } catch (error) {
          return [`cannot source layer from ${request.text}: ${errorText(error)}`]
        }
      }),
    )
    return faults.flat()
  }

  #note(request: LayerRequest, error: unknown): void {
    const { text } = request
    const { stale } = this.#faults
    if (error === null) {
      if (stale.delete(text)) this.#report()
      return
    }
    const isNews = !stale.has(text)
    stale.set(text, `${text} is used as it was: ${errorText(error)}`)
    this.#report()
    if (!isNews) return
    this.#options.log.warn("cannot source layer, using it as it was", { ref: text, error })
    void this.#recover(request)
  }

  /** Tries until it can be had again, also while nobody pulls. */
  async #recover(request: LayerRequest): Promise<void> {
    const { backoff, clock, platform } = this.#options
    const { signal } = this.#stop
    for (let attempt = 0; this.#faults.stale.has(request.text) && !signal.aborted; attempt += 1) {
      await clock.sleep(backoffMs(attempt, backoff), signal).catch(() => {})
      await contribute(this.sources, request, platform, signal).catch(() => {}) // #note is told
    }
  }

  #report(): void {
    const { readiness } = this.#options
    const { missing, stale } = this.#faults
    if (missing === null) return
    if (missing !== "") readiness.failed(CONDITION, missing)
    else if (stale.size > 0) readiness.degraded(CONDITION, [...stale.values()].join("; "))
    else readiness.ok(CONDITION)
  }
}
