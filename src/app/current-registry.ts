import { isOfPort } from "../config/changes.ts"
import type { RegistryConfig } from "../config/load.ts"
import type { Images } from "../facade/images.ts"
import type { Kept } from "./kept.ts"
import { buildRegistry, type Registry } from "./registry.ts"
import type { Tools } from "./tools.ts"

const STATIC_LAYERS = "registry.staticLayer"

/** The registry as it is configured now. A change swaps it whole; requests that have begun keep the one they began with. */
export class CurrentRegistry {
  readonly #kept: Kept
  readonly #tools: Tools
  #registry: Registry

  private constructor(kept: Kept, tools: Tools, registry: Registry) {
    this.#kept = kept
    this.#tools = tools
    this.#registry = registry
  }

  static async create(config: RegistryConfig, kept: Kept, tools: Tools): Promise<CurrentRegistry> {
    return new CurrentRegistry(kept, tools, await buildRegistry(config, kept, tools))
  }

  get images(): Images {
    return this.#registry.images
  }

  get readers(): Registry["readers"] {
    return this.#registry.readers
  }

  get upstreams(): Registry["upstreams"] {
    return this.#registry.upstreams
  }

  /** Begins to look whether what images are made of is there. */
  watch(): void {
    this.#registry.watch()
  }

  /** Rejects, and nothing has changed, when the configuration cannot be used. `keys` are those that differ. */
  async apply(config: RegistryConfig, keys: readonly string[]): Promise<void> {
    const ofRegistry = keys.filter((key) => (key.startsWith("registry.") && !isOfPort(key)) || key === "dockerAuth")
    if (ofRegistry.every((key) => key === STATIC_LAYERS)) {
      if (ofRegistry.length > 0) this.#registry.replaceStaticLayers(config.staticLayers)
      return
    }
    const registry = await buildRegistry(config, this.#kept, this.#tools)
    const old = this.#registry
    this.#registry = registry
    old.close()
    registry.watch()
  }

  close(): void {
    this.#registry.close()
  }
}
