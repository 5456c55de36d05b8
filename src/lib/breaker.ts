import type { Clock } from "./clock.ts"

export interface BreakerOptions {
  readonly clock: Clock
  /** Failures in a row after which nothing is asked for a while. */
  readonly failures: number
  /** For how long at first, and at most. */
  readonly openMs: number
  readonly maxOpenMs: number
  /** Told with the failure that was one too many, and with null when it works again. */
  readonly onChange: (failure: unknown) => void
}

/** Leaves a dependency alone while it fails, so that its trouble costs time once and not with every request. */
export class Breaker {
  readonly #options: BreakerOptions
  #failures = 0
  /** Failed probes since it opened: each makes the wait for the next one longer. */
  #probes = 0
  #openUntil = 0
  #isProbing = false

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#openUntil > 0
  }

  /**
   * Null: it is left alone, nothing was asked. Rejects as `work` does. After a while, one call finds out; others are
   * still turned away meanwhile. `isFault` tells which failures are the dependency's own.
   */
  async run<Result>(
    work: () => Promise<Result>,
    isFault: (error: unknown) => boolean = () => true,
  ): Promise<Result | null> {
    if (this.isOpen && (this.#isProbing || this.#openUntil > this.#options.clock.now())) return null
    const isProbe = this.isOpen
    if (isProbe) this.#isProbing = true
    try {
      const result = await work()
      this.#worked()
      return result
    } catch (error) {
      if (isFault(error)) this.#failed(error, isProbe)
      throw error
    } finally {
      if (isProbe) this.#isProbing = false
    }
  }

  #worked(): void {
    if (this.isOpen) this.#options.onChange(null)
    this.#failures = 0
    this.#openUntil = 0
  }

  /** What was under way when it opened fails as well, and is no further reason. */
  #failed(error: unknown, isProbe: boolean): void {
    if (this.isOpen) {
      if (isProbe) this.#open(this.#probes + 1)
      return
    }
    this.#failures += 1
    if (this.#failures < this.#options.failures) return
    this.#options.onChange(error ?? new Error("It failed"))
    this.#open(0)
  }

  #open(probes: number): void {
    const { clock, maxOpenMs, openMs } = this.#options
    this.#probes = probes
    this.#openUntil = clock.now() + Math.min(maxOpenMs, openMs * 2 ** Math.min(probes, 10))
  }
}
