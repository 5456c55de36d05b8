interface Flight<Value> {
  readonly result: Promise<Value>
  readonly abort: AbortController
  waiting: number
  landed: boolean
}

/**
 * Runs one call per key at a time and gives its result, or its failure, to everyone who asked meanwhile. A caller
 * whose signal is aborted leaves at once; the work is aborted when nobody waits for it any more, and nobody has come
 * back for it until `linger` resolves.
 */
export class SingleFlight<Key, Value> {
  readonly #flights = new Map<Key, Flight<Value>>()
  readonly #linger: (() => Promise<void>) | null

  constructor(linger: (() => Promise<void>) | null = null) {
    this.#linger = linger
  }

  async run(key: Key, work: (signal: AbortSignal) => Promise<Value>, signal: AbortSignal): Promise<Value> {
    signal.throwIfAborted()
    const flight = this.#flights.get(key) ?? this.#start(key, work)
    flight.waiting += 1
    try {
      return await abortable(flight.result, signal)
    } finally {
      flight.waiting -= 1
      if (flight.waiting === 0 && !flight.landed) void this.#left(key, flight)
    }
  }

  async #left(key: Key, flight: Flight<Value>): Promise<void> {
    if (this.#linger === null) return this.#abandon(key, flight)
    await this.#linger()
    if (flight.waiting === 0 && !flight.landed) this.#abandon(key, flight)
  }

  #start(key: Key, work: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const abort = new AbortController()
    const flight: Flight<Value> = { result: work(abort.signal), abort, waiting: 0, landed: false }
    this.#flights.set(key, flight)
    const land = () => {
      flight.landed = true
      this.#forget(key, flight)
    }
    flight.result.then(land, land)
    return flight
  }

  #abandon(key: Key, flight: Flight<Value>): void {
    this.#forget(key, flight)
    flight.abort.abort(new DOMException("Nobody waits for the result any more", "AbortError"))
  }

  #forget(key: Key, flight: Flight<Value>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
  }
}

/** Settles as `promise` does, but rejects with the signal's reason as soon as it is aborted. */
export async function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  promise.catch(() => {}) // the flight itself reports failures; a caller that left must not raise them twice
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener("abort", abort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener("abort", abort)
  }
}
