import type { Clock } from "../lib/clock.ts"
import type { LayerSource } from "./layer-source.ts"

/** A source is slow when whoever reads from it mostly waits, and gets fewer than `bytes` in `ms`. */
export interface PacePolicy {
  readonly ms: number
  readonly bytes: number
}

export interface Pacing {
  readonly policy: PacePolicy
  readonly clock: Clock
  /** Ends the watch. */
  readonly signal: AbortSignal
  /** Called once. */
  readonly slow: () => void
}

/** The source, watched from now on: it counts as slow also while it is asked for its first byte. */
export function pacedSource(source: LayerSource, pacing: Pacing): LayerSource {
  const waits = new Waits(pacing.clock)
  void watch(waits, pacing).catch(() => {}) // the watch is over
  const open: LayerSource["open"] = async (signal, isApart) => {
    const stream = await waits.during(source.open(signal, isApart))
    return counted(stream, waits)
  }
  return { ...source, open }
}

async function watch(waits: Waits, { clock, policy, signal, slow }: Pacing): Promise<void> {
  for (;;) {
    await clock.sleep(policy.ms, signal)
    const { bytes, ms } = waits.take()
    if (bytes < policy.bytes && ms > policy.ms / 2) return slow()
  }
}

function counted(stream: ReadableStream<Uint8Array>, waits: Waits): ReadableStream<Uint8Array> {
  const reader = stream.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { value } = await waits.during(reader.read())
        if (value === undefined) return controller.close()
        waits.bytes += value.byteLength
        controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
}

/** What one reader has waited for, and got. Not for concurrent use. */
class Waits {
  bytes = 0
  readonly #clock: Clock
  #ms = 0
  /** Null: it does not wait now. */
  #since: number | null = null

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async during<Result>(work: Promise<Result>): Promise<Result> {
    this.#since = this.#clock.now()
    try {
      return await work
    } finally {
      this.#settle()
      this.#since = null
    }
  }

  /** Since it was asked for last. */
  take(): { readonly bytes: number; readonly ms: number } {
    this.#settle()
    const taken = { bytes: this.bytes, ms: this.#ms }
    this.bytes = 0
    this.#ms = 0
    return taken
  }

  #settle(): void {
    if (this.#since === null) return
    const now = this.#clock.now()
    this.#ms += now - this.#since
    this.#since = now
  }
}
