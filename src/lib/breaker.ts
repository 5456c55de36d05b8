import type { Clock } from "./clock.ts"

export interface BreakerOptions {
  readonly clock: Clock
  /** Failures in a row after which nothing is asked for a while. */
  readonly failures: number
  /** For how long at first, and at most. */
  readonly openMs: number
  readonly maxOpenMs: number
  readonly onChange: (isOpen: boolean) => void
}

/** Leaves a dependency alone while it fails, so that its trouble costs time once and not with every request. */
export class Breaker {
  readonly #options: BreakerOptions
  #failures = 0
  #openUntil = 0
  #isProbing = false

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#openUntil > 0
  }

  /** Null: it is left alone, nothing was asked. Rejects as `work` does. After a while, one call finds out. */
  async run<Result>(work: () => Promise<Result>): Promise<Result | null> {
    if (this.isOpen && (this.#isProbing || this.#openUntil > this.#options.clock.now())) return null
    this.#isProbing = this.isOpen
    try {
      const result = await work()
      this.worked()
      return result
    } catch (error) {
      this.failed()
      throw error
    } finally {
      this.#isProbing = false
    }
  }

  worked(): void {
    if (this.isOpen) this.#options.onChange(false)
    this.#failures = 0
    this.#openUntil = 0
  }

  failed(): void {
    const { clock, failures, maxOpenMs, onChange, openMs } = this.#options
    this.#failures += 1
    if (this.#failures < failures) return
    if (!this.isOpen) onChange(true)
    const wait = Math.min(maxOpenMs, openMs * 2 ** Math.min(this.#failures - failures, 10))
    this.#openUntil = clock.now() + wait
  }
}
