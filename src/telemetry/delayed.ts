/** What is done a while later, or at the end if that comes first; in either case once. */
export class Delayed {
  readonly #later: (run: () => void, ms: number) => void
  readonly #waiting = new Set<() => void>()

  constructor(later: (run: () => void, ms: number) => void) {
    this.#later = later
  }

  add(run: () => void, ms: number): void {
    const once = () => {
      if (this.#waiting.delete(once)) run()
    }
    this.#waiting.add(once)
    this.#later(once, ms)
  }

  runAll(): void {
    for (const run of this.#waiting) run()
  }
}
