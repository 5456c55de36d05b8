import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { Semaphore } from "../lib/semaphore.ts"
import { observeStream } from "../lib/stream.ts"
import { type Egress, EgressError, type EgressResponse } from "./egress.ts"

export interface LimitOptions {
  /** Requests to one host at the same time, until their bodies are read. */
  readonly perHost: number
  /** How long a request waits for its turn. */
  readonly queueMs: number
  readonly clock: Clock
}

const MAX_HOSTS = 1000

/**
 * Keeps one host from taking all connections, and any host from being flooded, by every egress that is given to the same
 * limit together.
 */
export function limiting({ perHost, queueMs, clock }: LimitOptions): (egress: Egress) => Egress {
  const hosts = new LRUCache<string, Semaphore>({ max: MAX_HOSTS })
  const slotsOf = (host: string): Semaphore => {
    const known = hosts.get(host) ?? new Semaphore(perHost)
    hosts.set(host, known)
    return known
  }
  return (egress) => async (request, signal) => {
    const { host } = request.url
    const release = await inTime(slotsOf(host), { host, queueMs, clock }, signal)
    try {
      const response = await egress(request, signal)
      return releasedAfterBody(response, release)
    } catch (error) {
      release()
      throw error
    }
  }
}

interface Waiting {
  readonly host: string
  readonly queueMs: number
  readonly clock: Clock
}

async function inTime(slots: Semaphore, { host, queueMs, clock }: Waiting, signal: AbortSignal): Promise<() => void> {
  const late = new AbortController()
  const timer = new AbortController()
  clock.sleep(queueMs, timer.signal).then(
    () => late.abort(new EgressError("silent", `too many requests to ${host} are waiting`)),
    () => {},
  )
  return await slots.acquire(AbortSignal.any([signal, late.signal])).finally(() => timer.abort())
}

function releasedAfterBody(response: EgressResponse, release: () => void): EgressResponse {
  if (response.body !== null) return { ...response, body: observeStream(response.body, { end: release }) }
  release()
  return response
}
