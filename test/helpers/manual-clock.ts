import type { Clock } from "../../src/lib/clock.ts"

export interface ManualClock extends Clock {
  /** How many wait for a time that has not come. */
  readonly sleepers: number
  /** Moves the time on, wakes who waited for it, and lets them run until they wait again. */
  advance(ms: number): Promise<void>
}

/** Time that stands still until it is told to move. */
export function manualClock(): ManualClock {
  const waiting = new Set<{ readonly at: number; readonly wake: () => void }>()
  let now = 0
  const settle = async () => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return {
    now: () => now,
    get sleepers() {
      return waiting.size
    },
    sleep: (ms, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const sleeper = { at: now + ms, wake: resolve }
      waiting.add(sleeper)
      const leave = () => {
        waiting.delete(sleeper)
        reject(signal?.reason)
      }
      if (signal?.aborted === true) leave()
      else signal?.addEventListener("abort", leave, { once: true })
      return promise
    },
    advance: async (ms) => {
      await settle()
      now += ms
      for (const sleeper of [...waiting].filter(({ at }) => at <= now)) {
        waiting.delete(sleeper)
        sleeper.wake()
      }
      await settle()
    },
  }
}
