/** How often the same trouble is told. */
const REPEAT_MS = 60_000
/** So that names from elsewhere cannot fill the memory. */
const MAX_REPEATS = 1000

interface Repeated {
  readonly writtenAt: number
  leftOut: number
}

/** What has been written in the last minute. */
export class Repeats {
  readonly #now: () => number
  /** Oldest first. */
  readonly #written = new Map<string, Repeated>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** How often it was left out since it was written last; null: leave it out. */
  leftOut(key: string): number | null {
    const now = this.#now()
    const known = this.#written.get(key)
    if (known !== undefined && now - known.writtenAt < REPEAT_MS) {
      known.leftOut += 1
      return null
    }
    this.#written.delete(key)
    this.#written.set(key, { writtenAt: now, leftOut: 0 })
    const [oldest] = this.#written.keys()
    if (this.#written.size > MAX_REPEATS && oldest !== undefined) this.#written.delete(oldest)
    return known?.leftOut ?? 0
  }
}
