import { LRUCache } from "lru-cache"
import type { Clock } from "./clock.ts"

export interface RememberedOptions {
  readonly clock: Clock
  readonly forMs: number
  /** Keys; those that were used least lately go first. */
  readonly max: number
}

/** What was found out, and holds for a while. */
export class Remembered {
  readonly #options: RememberedOptions
  /** By key, the time until which it holds. */
  readonly #until: LRUCache<string, number>

  constructor(options: RememberedOptions) {
    this.#options = options
    this.#until = new LRUCache({ max: options.max })
  }

  add(key: string): void {
    const { clock, forMs } = this.#options
    this.#until.set(key, clock.now() + forMs)
  }

  has(key: string): boolean {
    return (this.#until.get(key) ?? 0) > this.#options.clock.now()
  }
}
