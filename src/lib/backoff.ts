export interface BackoffPolicy {
  readonly baseMs: number
  readonly capMs: number
  /** Between 0 and 1. */
  readonly random: () => number
}

/** The wait before retry number `attempt` (from 0): exponential with full jitter, never zero. */
export function backoffMs(attempt: number, { baseMs, capMs, random }: BackoffPolicy): number {
  return 1 + random() * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30))
}
