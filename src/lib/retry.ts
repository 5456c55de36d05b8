import { type BackoffPolicy, backoffMs } from "./backoff.ts"
import type { Clock } from "./clock.ts"

export interface RetryPolicy extends BackoffPolicy {
  readonly attempts: number
  readonly clock: Clock
  /** Milliseconds to wait before the next attempt, at least; null when another attempt cannot help. */
  readonly waitMs: (error: unknown) => number | null
}

/** Repeats work that failed for a reason that passes. Rejects with the last failure, or with the signal's reason. */
export async function retry<Result>(
  work: () => Promise<Result>,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<Result> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      const wait = attempt + 1 < policy.attempts ? policy.waitMs(error) : null
      if (wait === null) throw error
      await policy.clock.sleep(Math.max(wait, backoffMs(attempt, policy)), signal)
    }
  }
}
