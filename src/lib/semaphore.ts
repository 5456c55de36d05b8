import type { Patience } from "./in-time.ts"

/** Hands out a fixed number of slots in the order of asking. */
export class Semaphore {
  #free: number
  readonly #queue: (() => void)[] = []

  constructor(slots: number) {
    this.#free = slots
  }

  get waiting(): number {
    return this.#queue.length
  }

  /** Resolves with the function that gives the slot back. Rejects with the signal's reason when aborted first. */
  async acquire(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(signal)
    let held = true
    return () => {
      if (held) this.#release()
      held = false
    }
  }

  /** As `acquire`; rejects with TimeoutError once patience is over. */
  async acquireInTime({ clock, patienceMs }: Patience, ...signals: readonly AbortSignal[]): Promise<() => void> {
    const [timer, over] = [new AbortController(), new AbortController()]
    const late = new DOMException(`No slot became free in ${patienceMs} ms`, "TimeoutError")
    void clock.sleep(patienceMs, timer.signal).then(
      () => over.abort(late),
      () => {},
    )
    return await this.acquire(AbortSignal.any([over.signal, ...signals])).finally(() => timer.abort())
  }

  /** Hands out more slots from now on. */
  grow(slots: number): void {
    for (let added = 0; added < slots; added += 1) this.#release()
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = () => {
      const place = this.#queue.indexOf(resolve)
      if (place === -1) return // the slot was handed over a moment ago
      this.#queue.splice(place, 1)
      reject(signal.reason)
    }
    this.#queue.push(resolve)
    signal.addEventListener("abort", abort, { once: true })
    await promise.finally(() => signal.removeEventListener("abort", abort))
  }

  /** A slot goes straight to the first in the queue, so that nobody can overtake. */
  #release(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}
