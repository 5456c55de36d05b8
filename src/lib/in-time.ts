import type { Clock } from "./clock.ts"

export interface Patience {
  readonly clock: Clock
  readonly patienceMs: number
}

/** Settles as `result` does, or rejects with `late()` once patience is over; the work behind `result` goes on. */
export async function inTime<Result>(
  result: Promise<Result>,
  { clock, patienceMs }: Patience,
  late: () => Error,
): Promise<Result> {
  const timer = new AbortController()
  const over = clock.sleep(patienceMs, timer.signal).then(() => {
    throw late()
  })
  over.catch(() => {})
  return await Promise.race([result, over]).finally(() => timer.abort())
}
