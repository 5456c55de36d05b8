import { type Clock, systemClock } from "../../src/lib/clock.ts"

const TICK_MS = 5
/** What one turn of the event loop counts for at most, however long the machine was busy with something else. */
const MAX_TURN_MS = 25

/**
 * Time as this process gets it. Clients, upstream and facade share one event loop: where the machine stops it for a
 * while, deadlines of a tenth of a second would pass without anybody having been able to keep them.
 */
export function loopClock(): Clock {
  let counted = 0
  let last = performance.now()
  const now = () => counted + Math.min(performance.now() - last, MAX_TURN_MS)
  const tick = () => {
    counted = now()
    last = performance.now()
  }
  setInterval(tick, TICK_MS).unref()
  return {
    now,
    sleep: async (ms, signal) => {
      const until = now() + ms
      do await systemClock.sleep(Math.max(1, until - now()), signal)
      while (ms > MAX_TURN_MS && now() < until)
    },
  }
}
