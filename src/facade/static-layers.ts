import type { LayerRequest, PlacedRequest } from "../layer/layer.ts"
import { type BackoffPolicy, backoffMs } from "../lib/backoff.ts"
import type { Clock } from "../lib/clock.ts"
import { formatPlatform, type Platform } from "../oci/platform.ts"
import { errorText, type Logger } from "../telemetry/log.ts"
import type { Readiness } from "../telemetry/readiness.ts"
import { contribute, type LayerSources } from "./contribute.ts"
import { lastingLayers } from "./lasting-layers.ts"

export interface StaticLayersOptions<Built> {
  readonly requests: readonly PlacedRequest[]
  readonly sources: LayerSources
  /** Makes what uses a list; `sources` outlast layers that can no longer be had. */
  readonly build: (requests: readonly PlacedRequest[], sources: LayerSources) => Built
  /** A layer that can be loaded for this platform counts as loaded. */
  readonly platform: Platform
  readonly backoff: BackoffPolicy
  /** How long a layer that can no longer be loaded is used as it was, before it is tried again. */
  readonly staleMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly readiness: Readiness
}

const CONDITION = "static layers"

/**
 * The layers that every image gets, and what was built from their list. Layers that cannot be loaded make the process
 * not ready, and are tried again. Another list takes the place of the one in use as a whole, once all of it is loaded.
 */
export class StaticLayers<Built> {
  readonly #options: StaticLayersOptions<Built>
  readonly #sources: LayerSources
  readonly #stop = new AbortController()
  #current: Built
  /** Aborted when the list in use, or the one that shall be, is no longer wanted. */
  readonly #loads = { inUse: new AbortController(), next: new AbortController() }
  /** What the list in use lacks; another list that is not in use yet; layers that are used as they were. */
  readonly #faults = { inUse: "", next: "", stale: new Map<string, string>() }

  constructor(options: StaticLayersOptions<Built>) {
    this.#options = options
    this.#sources = lastingLayers(options.sources, {
      ...options,
      onAnswer: (request, error) => this.#note(request, error),
    })
    this.#current = options.build(options.requests, this.#sources)
  }

  /** Begins to load the list. */
  watch(): void {
    const { readiness, requests } = this.#options
    readiness.pending(CONDITION, "not loaded yet")
    void this.#load(requests, "inUse")
  }

  /** Of the list in use. Whoever works with it keeps to it to the end, whatever is configured meanwhile. */
  get current(): Built {
    return this.#current
  }

  /** Puts another list in place of the one in use, when it is loaded; one that waits for that is given up. */
  replace(requests: readonly PlacedRequest[]): void {
    this.#loads.next.abort(new Error("The list was replaced"))
    this.#loads.next = new AbortController()
    this.#faults.next = ""
    void this.#load(requests, "next")
  }

  close(): void {
    this.#stop.abort(new Error("The registry is closed"))
  }

  async #load(requests: readonly PlacedRequest[], role: "inUse" | "next"): Promise<void> {
    const { backoff, clock, log } = this.#options
    const signal = AbortSignal.any([this.#loads[role].signal, this.#stop.signal])
    for (const { kind, text } of requests) log.info("preparing static layer", { ref: text, type: kind })
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      const faults = await this.#attempt(requests, signal)
      if (signal.aborted) return
      this.#settle(requests, role, faults)
      if (faults.length === 0) return
      await clock.sleep(backoffMs(attempt, backoff), signal).catch(() => {})
    }
  }

  #settle(requests: readonly PlacedRequest[], role: "inUse" | "next", faults: readonly string[]): void {
    const told = this.#faults[role]
    this.#faults[role] = faults.join("; ")
    if (faults.length === 0 && role === "next") this.#swap(requests)
    this.#report()
    if (told === this.#faults[role]) return // the same again
    for (const fault of faults) this.#options.log.error("cannot load a static layer", { reason: fault })
  }

  /** What is wrong, if anything is. */
  async #attempt(requests: readonly PlacedRequest[], signal: AbortSignal): Promise<readonly string[]> {
    const { log, platform } = this.#options
    const wanted = formatPlatform(platform)
    const faults = await Promise.all(
      requests.map(async (request) => {
        try {
          const contribution = await contribute(this.#sources, request, platform, signal)
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

  #swap(requests: readonly PlacedRequest[]): void {
    this.#current = this.#options.build(requests, this.#sources)
    this.#loads.inUse.abort(new Error("The list was replaced"))
    this.#faults.inUse = ""
    this.#faults.stale.clear()
    this.#options.log.info("static layers replaced", { refs: requests.map(({ text }) => text) })
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
      await contribute(this.#sources, request, platform, signal).catch(() => {}) // #note is told
    }
  }

  #report(): void {
    const { readiness } = this.#options
    const { inUse, next, stale } = this.#faults
    const notes = [...stale.values(), ...(next === "" ? [] : [`the new list is not in use yet: ${next}`])]
    if (inUse !== "") readiness.failed(CONDITION, inUse)
    else if (notes.length > 0) readiness.degraded(CONDITION, notes.join("; "))
    else readiness.ok(CONDITION)
  }
}
