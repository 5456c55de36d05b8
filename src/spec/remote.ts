import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import { RegistryError } from "../oci/error.ts"
import { errorText, type Logger } from "../telemetry/log.ts"
import type { Conditions } from "../telemetry/readiness.ts"
import type { ImageSpec, SpecProvider } from "./spec.ts"
import { MAX_SPEC_BYTES, type SpecSource, UNREACHABLE } from "./spec-source.ts"

export interface RemoteSpecPolicy {
  /** How long a spec is used without asking again. URLs in specs are often signed for minutes. */
  readonly ttlMs: number
  /** How long a name stays unknown. Clients probe unknown names to see whether the sources are there. */
  readonly unknownTtlMs: number
  /** How long a source that could not be asked is not asked again; longer, if it took longer to find that out. */
  readonly failureMs: number
  /** How long a spec is used while no source can tell. */
  readonly staleMs: number
  /** A source that nobody has asked for this long is asked for a name that nobody has, to see whether it is there. */
  readonly probeMs: number
}

export interface RemoteSpecsOptions {
  /** Asked in this order; the first that has a spec wins. */
  readonly sources: readonly SpecSource[]
  readonly policy: RemoteSpecPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly readiness: Conditions
  /** That knew some of the sources before; null: none did. */
  readonly earlier?: RemoteSpecProvider | null
}

interface Known {
  /** Null: every source has said that it does not know the name. */
  readonly spec: ImageSpec | null
  /** That has it; null where none has. */
  readonly source: SpecSource | null
  readonly askedAt: number
}

interface Health {
  readonly askedAt: number
  readonly tookMs: number
  readonly error: unknown
}

/** The name that the original's watchers ask for, too. */
const NOBODYS_NAME = "not-a-valid-image"
const CONDITION = "spec providers"

/** Specs from other servers, remembered for a short time. */
export class RemoteSpecProvider implements SpecProvider {
  readonly prefix = "remote"
  readonly #options: RemoteSpecsOptions
  readonly #known = new LRUCache<string, Known>({ max: 10_000, maxSize: 4 * MAX_SPEC_BYTES, sizeCalculation: sizeOf })
  readonly #asking = new SingleFlight<string, ImageSpec | null>()
  /** The latest answer of each source; null until its first. */
  readonly #health = new Map<SpecSource, Health | null>()
  readonly #stop = new AbortController()
  #running = 0
  /** To be closed when nothing runs. */
  #leaving: readonly SpecSource[] = []

  constructor(options: RemoteSpecsOptions) {
    this.#options = options
    for (const source of options.sources) this.#health.set(source, null)
    if (options.earlier) this.#inherit(options.earlier)
  }

  /** Asks each source at once, and whenever it was quiet for a while, whether it is there. */
  watch(): void {
    for (const source of this.#options.sources) void this.#watch(source)
    this.#report()
  }

  async resolve(name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const known = this.#known.get(name)
    if (known !== undefined && this.#isFresh(known)) return known.spec
    return await this.#asking.run(name, (flight) => this.#ask(name, flight), signal)
  }

  /** Sources that another provider has, too, stay open; the others do until nobody waits for their answer. */
  close(shared: readonly SpecSource[] = []): void {
    this.#stop.abort(new Error("The provider is closed"))
    this.#leaving = this.#options.sources.filter((source) => !shared.includes(source))
    this.#leave()
  }

  #leave(): void {
    if (this.#running > 0) return
    for (const source of this.#leaving) source.close()
    this.#leaving = []
  }

  /** What a source has said that is still there is no news, but better than nothing. */
  #inherit(earlier: RemoteSpecProvider): void {
    const { clock, policy, sources } = this.#options
    for (const source of sources) this.#health.set(source, earlier.#health.get(source) ?? null)
    for (const [name, known] of [...earlier.#known.entries()].toReversed()) {
      if (known.source === null || !sources.includes(known.source)) continue
      this.#known.set(name, { ...known, askedAt: Math.min(known.askedAt, clock.now() - policy.ttlMs) })
    }
  }

  #isFresh({ spec, askedAt }: Known): boolean {
    const { clock, policy } = this.#options
    return clock.now() - askedAt < (spec === null ? policy.unknownTtlMs : policy.ttlMs)
  }

  async #ask(name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const { clock, log, policy } = this.#options
    const known = this.#known.get(name)
    const askedAt = clock.now()
    this.#running += 1
    try {
      const found = await this.#first(name, signal)
      this.#known.set(name, { ...found, askedAt })
      return found.spec
    } catch (error) {
      signal.throwIfAborted()
      const isUsable = known?.spec !== undefined && known.spec !== null && askedAt - known.askedAt < policy.staleMs
      if (!isUsable || !(error instanceof RegistryError) || !error.mayPass) throw error
      log.warn("no provider can tell, using the spec as it was", { name, error }, error.culprit)
      return known.spec
    } finally {
      this.#running -= 1
      this.#leave()
    }
  }

  /** Of several failures the last one is told, as by the original: the sources before it are there for others. */
  async #first(name: string, signal: AbortSignal): Promise<Pick<Known, "spec" | "source">> {
    let failure: unknown = null
    for (const source of this.#options.sources) {
      try {
        const spec = await this.#lookupSoon(source, name, signal)
        if (spec !== null) return { spec, source }
      } catch (error) {
        signal.throwIfAborted()
        failure = error
      }
    }
    if (failure !== null) throw failure
    return { spec: null, source: null }
  }

  async #lookup(source: SpecSource, name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const { clock } = this.#options
    const startedAt = clock.now()
    const note = (error: unknown) => {
      this.#health.set(source, { askedAt: clock.now(), tookMs: clock.now() - startedAt, error })
      this.#report()
    }
    try {
      const spec = await source.lookup(name, signal)
      note(null)
      return spec
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof RegistryError && !error.mayPass) note(null)
      else if (isUnreachable(error) || name === NOBODYS_NAME) note(error)
      throw error
    }
  }

  /** As `#lookup`, but a source that was silent a moment ago holds up nobody. */
  async #lookupSoon(source: SpecSource, name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const { clock, policy } = this.#options
    const health = this.#health.get(source) ?? null
    const pauseMs = Math.max(policy.failureMs, health?.tookMs ?? 0)
    if (health === null || !isUnreachable(health.error) || clock.now() - health.askedAt >= pauseMs)
      return await this.#lookup(source, name, signal)
    const message = `Cannot get the spec of ${name} from ${source.origin}: it could not be reached a moment ago`
    throw new RegistryError("UNAVAILABLE", message, {
      detail: UNREACHABLE,
      retryAfterSeconds: 2,
      culprit: source.origin,
      cause: health.error,
    })
  }

  /** Without any source nothing that is not known can be served; with some of them, part of it. */
  #report(): void {
    const { readiness, sources } = this.#options
    const healths = sources.map((source) => this.#health.get(source) ?? null)
    const faults = healths.flatMap((health) => (health?.error ? [errorText(health.error)] : []))
    const unknown = sources.filter((_, index) => healths[index] === null).map(({ origin }) => origin)
    if (unknown.length + faults.length === sources.length && unknown.length > 0)
      readiness.pending(CONDITION, `not reached yet: ${unknown.join(", ")}`)
    else if (faults.length === 0) readiness.ok(CONDITION)
    else if (faults.length === sources.length) readiness.failed(CONDITION, faults.join("; "))
    else readiness.degraded(CONDITION, faults.join("; "))
  }

  async #watch(source: SpecSource): Promise<void> {
    const { clock, policy } = this.#options
    const { signal } = this.#stop
    while (!signal.aborted) {
      const quietMs = clock.now() - (this.#health.get(source)?.askedAt ?? Number.NEGATIVE_INFINITY)
      const isFailing = (this.#health.get(source)?.error ?? null) !== null
      const dueMs = (isFailing ? policy.probeMs / 5 : policy.probeMs) - quietMs
      if (dueMs > 0) await clock.sleep(dueMs, signal).catch(() => {})
      else await this.#lookup(source, NOBODYS_NAME, signal).catch(() => null) // what it says is in #health
    }
  }
}

/** A source that fails for one name may have the others. */
const isUnreachable = (error: unknown): boolean => error instanceof RegistryError && error.detail === UNREACHABLE

const sizeOf = ({ spec }: Known, name: string): number => 500 + name.length + weightOf(spec)

/** About what a value takes in memory, with every text and all content in it. */
function weightOf(value: unknown): number {
  if (typeof value === "string") return 30 + value.length
  if (value instanceof Uint8Array) return 100 + value.byteLength
  if (value instanceof URL) return 500 + value.href.length
  if (typeof value !== "object" || value === null) return 10
  const held = value instanceof Map ? [...value].flat() : Object.entries(value).flat()
  return held.reduce<number>((sum, one) => sum + weightOf(one), 50)
}
