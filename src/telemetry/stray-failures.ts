import type { Logger } from "./log.ts"

export interface StrayFailuresOptions {
  readonly log: Logger
  /** Milliseconds that only grow. */
  readonly now: () => number
  /** Told once: something is so wrong that only a new process helps. */
  readonly onTooMany: () => void
}

/** So many within a minute are too many. */
const TOO_MANY = 10
const WITHIN_MS = 60_000

/** Failures that no part of the program has expected. One of them ends nothing; many of them end the process in order. */
export class StrayFailures {
  readonly #options: StrayFailuresOptions
  /** When the latest were. */
  #latest: readonly number[] = []
  #count = 0
  #isTooMany = false

  constructor(options: StrayFailuresOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#count
  }

  get isTooMany(): boolean {
    return this.#isTooMany
  }

  note(kind: "unhandled rejection" | "uncaught exception", error: unknown): void {
    const { log, now, onTooMany } = this.#options
    log.error(kind, { error, stack: error instanceof Error ? error.stack : null })
    this.#count += 1
    this.#latest = [...this.#latest, now()].slice(-TOO_MANY)
    const [oldest = 0] = this.#latest
    if (this.#isTooMany || this.#latest.length < TOO_MANY || now() - oldest > WITHIN_MS) return
    this.#isTooMany = true
    log.error("too many unexpected failures, ending so that a new process takes over", { count: this.#count })
    onTooMany()
  }
}
