import type { RegistryConfig } from "../config/load.ts"
import { Images } from "../facade/images.ts"
import { abortable } from "../lib/single-flight.ts"
import type { Kept } from "./kept.ts"
import { knownHosts } from "./known-hosts.ts"
import { buildRegistry, type Part, type Parts, type Registry, type RegistryBase } from "./registry.ts"
import type { Tools } from "./tools.ts"

const CONDITION = "configuration"

/**
 * The registry as it is configured now. What a change asks for is made ready beside what is in use, and takes its place
 * whole; parts that do not change stay, and requests that have begun keep what they began with.
 */
export class CurrentRegistry {
  readonly images: Images
  readonly #base: RegistryBase
  readonly #tools: Tools
  #inUse: { readonly config: RegistryConfig; readonly registry: Registry }

  private constructor(config: RegistryConfig, { base, registry, tools }: Opened) {
    this.#base = base
    this.#inUse = { config, registry }
    this.#tools = tools
    const { kept } = base
    this.images = new Images({
      revision: () => this.#inUse.registry,
      log: tools.log,
      store: kept.store,
      caches: kept.sharing.caches,
      downloads: kept.downloads,
      metrics: tools.metrics,
      clock: tools.tuning.clock,
      patienceMs: tools.tuning.composing.patienceMs,
    })
  }

  static async create(config: RegistryConfig, kept: Kept, tools: Tools): Promise<CurrentRegistry> {
    let current: CurrentRegistry | null = null
    const settings = () => current?.settings ?? config
    const base = { kept, hosts: knownHosts(settings, tools), settings }
    current = new CurrentRegistry(config, { base, registry: await buildRegistry(config, base, null, tools), tools })
    return current
  }

  get settings(): RegistryConfig {
    return this.#inUse.config
  }

  get readers(): Registry["readers"] {
    return this.#inUse.registry.readers
  }

  get upstreams(): Registry["upstreams"] {
    return this.#inUse.registry.upstreams
  }

  /** Begins to look whether what images are made of is there, and to tell `readiness`. */
  watch(): void {
    for (const part of all(this.#inUse.registry.parts)) {
      part.conditions.tellTo(this.#tools.readiness)
      part.watch()
    }
  }

  /**
   * Resolves when the configuration is in use. Rejects, and nothing has changed, when it cannot be used, or `signal`
   * says that it is no longer wanted. `keys` are those that differ from what is in use. One at a time.
   */
  async apply(config: RegistryConfig, keys: readonly string[], signal: AbortSignal): Promise<void> {
    const { parts } = this.#inUse.registry
    const before = { parts, changed: new Set(keys) }
    const registry = await buildRegistry(config, this.#base, before, this.#tools)
    const fresh = others(registry.parts, parts)
    try {
      await this.#ready(fresh, signal)
    } catch (error) {
      for (const part of fresh) part.close(parts)
      throw error
    }
    this.#inUse = { config, registry }
    this.#swap(fresh, others(parts, registry.parts))
    this.#base.hosts.forgetUnnamed()
  }

  close(): void {
    for (const part of all(this.#inUse.registry.parts)) part.close(null)
  }

  /** Waits until what was built keeps no requests away. */
  async #ready(fresh: readonly Part[], signal: AbortSignal): Promise<void> {
    const { readiness } = this.#tools
    for (const part of fresh) part.watch()
    let isTold = false
    try {
      for (;;) {
        const blocking = fresh.flatMap(({ conditions }) => [...conditions.blocking])
        if (blocking.length === 0) return
        const failed = blocking.filter(([, { state }]) => state === "failed")
        const reasons = failed.map(([name, { reason }]) => `${name}: ${reason}`)
        if (reasons.length > 0)
          readiness.degraded(CONDITION, `the changed one is not in use yet: ${reasons.join("; ")}`)
        isTold ||= reasons.length > 0
        const waited = fresh.filter(({ conditions }) => conditions.blocking.size > 0)
        await abortable(Promise.race(waited.map(({ conditions }) => conditions.changed)), signal)
      }
    } finally {
      if (isTold) readiness.ok(CONDITION)
    }
  }

  #swap(fresh: readonly Part[], former: readonly Part[]): void {
    const { readiness } = this.#tools
    const { parts } = this.#inUse.registry
    for (const part of former) {
      part.conditions.tellTo(null)
      part.close(parts)
    }
    for (const part of fresh) part.conditions.tellTo(readiness)
    const names = new Set(all(parts).flatMap(({ conditions }) => conditions.names))
    const gone = former.flatMap(({ conditions }) => conditions.names).filter((name) => !names.has(name))
    for (const name of gone) readiness.remove(name)
  }
}

interface Opened {
  readonly base: RegistryBase
  readonly registry: Registry
  readonly tools: Tools
}

const all = (parts: Parts): readonly Part[] => Object.values(parts)

/** Those that another registry does not go on with. */
function others(parts: Parts, staying: Parts): readonly Part[] {
  const kept = new Set(all(staying))
  return all(parts).filter((part) => !kept.has(part))
}
