import type { Clock } from "../../src/lib/clock.ts"

export interface FakeClock extends Clock {
  /** How long each of those who sleep now still has to. */
  readonly sleeping: readonly number[]
  /** Lets time pass, and those wake up whose time it is. */
  advance(ms: number): void
}

interface Sleeper {
  readonly until: number
  readonly wake: () => void
}

/** Time that passes when a test says so. */
export function createFakeClock(): FakeClock {
  let now = 0
  const sleepers = new Set<Sleeper>()
  return {
    now: () => now,
    get sleeping() {
      return [...sleepers].map(({ until }) => until - now)
    },
    sleep: async (ms, signal) => {
      signal?.throwIfAborted()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const sleeper = { until: now + ms, wake: resolve }
      const abort = () => reject(signal?.reason)
      sleepers.add(sleeper)
      signal?.addEventListener("abort", abort, { once: true })
      await promise.finally(() => {
        sleepers.delete(sleeper)
        signal?.removeEventListener("abort", abort)
      })
    },
    advance: (ms) => {
      now += ms
      for (const sleeper of [...sleepers].filter(({ until }) => until <= now)) {
        sleepers.delete(sleeper)
        sleeper.wake()
      }
    },
  }
}
