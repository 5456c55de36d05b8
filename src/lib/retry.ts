import { type BackoffPolicy, backoffMs } from "./backoff.ts"
import type { Clock } from "./clock.ts"

export interface RetryPolicy extends BackoffPolicy {
  readonly attempts: number
  readonly clock: Clock
  /** Milliseconds to wait before the next attempt, at least; null when another attempt cannot help. */
  readonly waitMs: (error: unknown) => number | null
  /** No attempt begins later than this after the first. Absent: any may. */
  readonly budgetMs?: number
}

/** Repeats work that failed for a reason that passes. Rejects with the last failure, or with the signal's reason. */
export async function retry<Result>(
  work: () => Promise<Result>,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<Result> {
  const until = policy.clock.now() + (policy.budgetMs ?? Number.POSITIVE_INFINITY)
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      const wait = nextWaitMs(error, attempt, policy)
      if (wait === null || policy.clock.now() + wait > until) throw error
      await policy.clock.sleep(wait, signal)
    }
  }
}

function nextWaitMs(error: unknown, attempt: number, policy: RetryPolicy): number | null {
  const asked = attempt + 1 < policy.attempts ? policy.waitMs(error) : null
  return asked === null ? null : Math.max(asked, backoffMs(attempt, policy))
}
