import type { Clock } from "../lib/clock.ts"
import type { Semaphore } from "../lib/semaphore.ts"

export interface RampPolicy {
  /** Transfers at the same time; more wait in a queue. */
  readonly concurrency: number
  /** Transfers at the same time after the start, when a fleet may have lost its caches at once; doubles every `rampMs`. */
  readonly firstConcurrency: number
  readonly rampMs: number
}

/** Adds slots to the first ones until there are all of them, or the signal is aborted. Never rejects. */
export async function ramp(
  slots: Semaphore,
  { clock, policy }: { readonly clock: Clock; readonly policy: RampPolicy },
  signal: AbortSignal,
): Promise<void> {
  let given = Math.min(policy.firstConcurrency, policy.concurrency)
  while (given < policy.concurrency && !signal.aborted) {
    await clock.sleep(policy.rampMs, signal).catch(() => {})
    const more = Math.min(given, policy.concurrency - given)
    slots.grow(more)
    given += more
  }
}
