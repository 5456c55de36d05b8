interface Counts {
  readonly requests: { inc(): void }
  readonly seconds: { add(value: number): void }
}

/** Requests of the same labels. They have no series before the first. */
export class RequestCount {
  readonly #open: () => Counts
  #counts: Counts | null = null

  constructor(open: () => Counts) {
    this.#open = open
  }

  add(seconds: number): void {
    this.#counts ??= this.#open()
    this.#counts.requests.inc()
    this.#counts.seconds.add(seconds)
  }
}
