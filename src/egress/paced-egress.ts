import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { parseRetryAfter } from "./answer.ts"
import { type Egress, EgressError, type EgressRequest, type EgressResponse } from "./egress.ts"

export interface PaceOptions {
  readonly clock: Clock
  /** How long a request waits for a host that has asked to be left alone; longer waits are the caller's. */
  readonly patienceMs: number
  /** The longest time that a host can ask for. */
  readonly maxPauseMs: number
  /** Failures in a row after which a host is left alone. */
  readonly failures: number
  /** For how long at first, and at most. */
  readonly openMs: number
  readonly maxOpenMs: number
  readonly onBreaker: (host: string, isOpen: boolean) => void
}

interface HostState {
  /** Nothing is sent before. */
  pausedUntil: number
  /** Why not. */
  reason: "busy" | "failing"
  failures: number
  /** The one request that finds out whether a pause is over. */
  probe: Promise<void> | null
}

const MAX_HOSTS = 1000
const DEFAULT_PAUSE_MS = 1000

/**
 * Manners towards hosts: one that answers 429, or names a time with its 503, is left alone that long by all requests;
 * one that fails again and again is left alone for a while. When the time is over, one request goes first.
 */
export function pacedEgress(egress: Egress, options: PaceOptions): Egress {
  const hosts = new LRUCache<string, HostState>({ max: MAX_HOSTS })
  const stateOf = (host: string): HostState => {
    const state = hosts.get(host) ?? { pausedUntil: 0, reason: "busy", failures: 0, probe: null }
    hosts.set(host, state)
    return state
  }
  return async (request, signal) => {
    const state = stateOf(request.url.host)
    await waitForTurn(state, request.url.host, options, signal)
    if (state.pausedUntil === 0) return await send(egress, request, { state, options, signal })
    const sending = send(egress, request, { state, options, signal })
    state.probe = sending.then(
      () => {},
      () => {},
    )
    return await sending.finally(() => {
      state.probe = null
    })
  }
}

async function waitForTurn(
  state: HostState,
  host: string,
  { clock, patienceMs }: PaceOptions,
  signal: AbortSignal,
): Promise<void> {
  const until = clock.now() + patienceMs
  for (;;) {
    const wait = state.pausedUntil - clock.now()
    if (wait <= 0 && state.probe === null) return
    if (wait > 0 && clock.now() + wait > until) throw leftAlone(state, host, wait)
    if (wait > 0) await clock.sleep(wait, signal)
    else await state.probe
    signal.throwIfAborted()
  }
}

function leftAlone({ reason, failures }: HostState, host: string, askedMs: number): EgressError {
  const seconds = Math.ceil(askedMs / 1000)
  if (reason === "busy")
    return new EgressError("busy", `${host} has asked to be left alone for ${seconds} s more`, { askedMs })
  return new EgressError(
    "network",
    `${host} has failed ${failures} times in a row, it is asked again in ${seconds} s`,
    { askedMs },
  )
}

interface Sending {
  readonly state: HostState
  readonly options: PaceOptions
  readonly signal: AbortSignal
}

async function send(
  egress: Egress,
  request: EgressRequest,
  { state, options, signal }: Sending,
): Promise<EgressResponse> {
  const { host } = request.url
  try {
    const response = await egress(request, signal)
    if (response.status >= 500) failed(state, host, options)
    else worked(state, host, options)
    pauseFor(state, response, options)
    return response
  } catch (error) {
    const isTheirs = error instanceof EgressError && (error.fault === "network" || error.fault === "silent")
    if (isTheirs) failed(state, host, options)
    throw error
  }
}

function worked(state: HostState, host: string, { onBreaker }: PaceOptions): void {
  if (state.reason === "failing" && state.pausedUntil > 0) onBreaker(host, false)
  state.failures = 0
  state.pausedUntil = 0
}

function failed(state: HostState, host: string, { clock, failures, openMs, maxOpenMs, onBreaker }: PaceOptions): void {
  if (state.reason === "failing" && state.pausedUntil > clock.now()) return // it was on its way before
  state.failures += 1
  if (state.failures < failures) return
  state.reason = "failing"
  state.pausedUntil = clock.now() + Math.min(maxOpenMs, openMs * 2 ** Math.min(state.failures - failures, 10))
  onBreaker(host, true)
}

function pauseFor(state: HostState, { status, headers }: EgressResponse, { clock, maxPauseMs }: PaceOptions): void {
  const asked = parseRetryAfter(headers.get("retry-after"))
  if (status !== 429 && (status !== 503 || asked === null)) return
  const pause = Math.min(asked === null ? DEFAULT_PAUSE_MS : asked * 1000, maxPauseMs)
  const until = clock.now() + pause
  if (until <= state.pausedUntil) return
  state.reason = "busy"
  state.pausedUntil = until
}
