import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"

export interface FailureLimitOptions {
  /** So many failures in one window, and nothing more is tried until it has ended. */
  readonly failures: number
  readonly windowMs: number
  /** So many keys are remembered; beyond, the one that was seen longest ago is forgotten. */
  readonly keys: number
  readonly clock: Clock
}

interface Window {
  readonly endsAt: number
  count: number
}

/** Counts failures by key, in windows that begin with a key's first failure. */
export class FailureLimit {
  readonly #options: FailureLimitOptions
  readonly #windows: LRUCache<string, Window>

  constructor(options: FailureLimitOptions) {
    this.#options = options
    this.#windows = new LRUCache({ max: options.keys })
  }

  /** Milliseconds until this key may try again; 0: now. */
  waitMs(key: string): number {
    const window = this.#find(key)
    return window === null || window.count < this.#options.failures ? 0 : window.endsAt - this.#options.clock.now()
  }

  /**
   * Counts an attempt as failed while it runs, so that many at once are as limited as one after the other. Gives what
   * takes back this attempt, and no more: a right password must not pay for the wrong ones before it.
   */
  add(key: string): () => void {
    const { clock, windowMs } = this.#options
    const window = this.#find(key) ?? { endsAt: clock.now() + windowMs, count: 0 }
    window.count += 1
    this.#windows.set(key, window)
    return () => {
      window.count -= 1
    }
  }

  #find(key: string): Window | null {
    const window = this.#windows.get(key)
    return window === undefined || window.endsAt <= this.#options.clock.now() ? null : window
  }
}
