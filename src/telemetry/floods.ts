/** So many lines of one message in one second are written, and of one request. */
export const MAX_LINES = 10
export const WINDOW_MS = 1000
/** So that messages cannot fill the memory. */
const MAX_MESSAGES = 1000

interface Flood {
  readonly startedAt: number
  written: number
  leftOut: number
}

export interface FloodOptions {
  /** Milliseconds that only grow. */
  readonly now: () => number
  readonly later: (run: () => void, ms: number) => void
}

/** Keeps one message from filling the log, whoever may cause it. */
export class Floods {
  readonly #options: FloodOptions
  /** Oldest first. */
  readonly #messages = new Map<string, Flood>()

  constructor(options: FloodOptions) {
    this.#options = options
  }

  /** True: write it. Otherwise `summarise` is told, once the second is over, how many were left out. */
  admits(message: string, summarise: (leftOut: number) => void): boolean {
    const flood = this.#floodOf(message)
    if (flood.written < MAX_LINES) {
      flood.written += 1
      return true
    }
    flood.leftOut += 1
    if (flood.leftOut > 1) return false
    const { later, now } = this.#options
    later(() => summarise(flood.leftOut), flood.startedAt + WINDOW_MS - now())
    return false
  }

  #floodOf(message: string): Flood {
    const now = this.#options.now()
    const known = this.#messages.get(message)
    if (known !== undefined && now - known.startedAt < WINDOW_MS) return known
    const flood = { startedAt: now, written: 0, leftOut: 0 }
    this.#messages.delete(message)
    this.#messages.set(message, flood)
    const [oldest] = this.#messages.keys()
    if (this.#messages.size > MAX_MESSAGES && oldest !== undefined) this.#messages.delete(oldest)
    return flood
  }
}
