/** Time as an argument, so that tests can run minutes in milliseconds. */
export interface Clock {
  /** Milliseconds that only grow; for spans of time, not for dates. */
  now(): number
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, ms)
    const abort = () => reject(signal?.reason)
    signal?.addEventListener("abort", abort, { once: true })
    try {
      await promise
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener("abort", abort)
    }
  },
}
