import type { Clock } from "../../lib/clock.ts"

export interface Patience {
  /** 0 is for ever. */
  readonly timeoutMs: number
  readonly clock: Clock
}

/** Null: it takes longer than the client should wait. What was begun goes on. */
export async function inTime<Result>(
  { clock, timeoutMs }: Patience,
  client: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result | null> {
  if (timeoutMs === 0) return await work(client)
  const over = new AbortController()
  const waiting = work(AbortSignal.any([client, over.signal]))
  waiting.catch(() => {}) // it may fail after the client was answered
  const late = clock.sleep(timeoutMs, over.signal).then(() => null)
  late.catch(() => {})
  return await Promise.race([waiting, late]).finally(() => over.abort())
}
