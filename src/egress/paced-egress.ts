import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { inTime } from "../lib/in-time.ts"
import { abortable } from "../lib/single-flight.ts"
import { readRetryAfter } from "./answer.ts"
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

const MAX_HOSTS = 1000
const DEFAULT_PAUSE_MS = 1000

/**
 * Manners towards hosts: one that answers 429, or names a time with its 503, is left alone that long by all requests;
 * one that fails again and again is left alone for a while. When the time is over, one request goes first. What hosts
 * have asked for holds for every egress that is given to the same manners.
 */
export function pacing(options: PaceOptions): (egress: Egress) => Egress {
  const hosts = new LRUCache<string, HostPace>({ max: MAX_HOSTS })
  return (egress) => async (request, signal) => {
    const { host } = request.url
    const pace = hosts.get(host) ?? new HostPace(host, options)
    hosts.set(host, pace)
    return await pace.send(egress, request, signal)
  }
}

/** A host that does not know how to do what was asked (501, 505) is well, and would say the same tomorrow. */
const isTrouble = ({ status }: EgressResponse): boolean => status >= 500 && status !== 501 && status !== 505

/** Whether a host is to be left alone, and why. */
class HostPace {
  readonly #host: string
  readonly #options: PaceOptions
  /** Nothing is sent before; null: nothing keeps us from sending. */
  #pausedUntil: number | null = null
  #reason: "busy" | "failing" = "busy"
  #failures = 0
  /** What the last failure was. */
  #failure = ""
  #isBroken = false
  /** The one request that finds out whether a pause is over. */
  #probe: Promise<void> | null = null

  constructor(host: string, options: PaceOptions) {
    this.#host = host
    this.#options = options
  }

  async send(egress: Egress, request: EgressRequest, signal: AbortSignal): Promise<EgressResponse> {
    const finish = await this.#turn(signal)
    try {
      const response = await egress(request, signal)
      if (isTrouble(response)) this.#failed(`${this.#host} answered ${response.status}`)
      else this.#worked(finish !== null)
      this.#pauseFor(response)
      return response
    } catch (error) {
      const isTheirs = error instanceof EgressError && (error.fault === "network" || error.fault === "silent")
      if (isTheirs) this.#failed(error.message)
      throw error
    } finally {
      finish?.()
    }
  }

  /** Waits until something may be sent. Gives what ends the probe, where this request is one; rejects after patience. */
  async #turn(signal: AbortSignal): Promise<(() => void) | null> {
    const { clock, patienceMs } = this.#options
    const latest = clock.now() + patienceMs
    for (;;) {
      if (this.#pausedUntil === null) return null
      const wait = this.#pausedUntil - clock.now()
      if (clock.now() + Math.max(wait, 0) > latest) throw this.#leftAlone(Math.max(wait, 0))
      if (wait > 0) await clock.sleep(wait, signal)
      else if (this.#probe !== null) await this.#await(this.#probe, latest - clock.now(), signal)
      else return this.#beginProbe()
    }
  }

  async #await(probe: Promise<void>, patienceMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    await abortable(
      inTime(probe, { clock, patienceMs }, () => this.#leftAlone(0)),
      signal,
    )
  }

  #beginProbe(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#probe = promise
    return () => {
      this.#probe = null
      resolve()
    }
  }

  #leftAlone(askedMs: number): EgressError {
    const seconds = Math.ceil(askedMs / 1000)
    if (this.#reason === "busy")
      return new EgressError("busy", `${this.#host} has asked to be left alone for ${seconds} s more`, { askedMs })
    const message = `${this.#failure}, ${this.#failures} times in a row; it is asked again in ${seconds} s`
    return new EgressError("network", message, { askedMs })
  }

  /** What was sent before a host asked to be left alone does not end the pause. */
  #worked(isProbe: boolean): void {
    this.#failures = 0
    if (this.#pausedUntil === null || (this.#reason === "busy" && !isProbe)) return
    this.#pausedUntil = null
    if (this.#isBroken) this.#options.onBreaker(this.#host, false)
    this.#isBroken = false
  }

  #failed(reason: string): void {
    const { clock, failures, openMs, maxOpenMs, onBreaker } = this.#options
    const isOpen = this.#pausedUntil !== null && this.#pausedUntil > clock.now()
    if (isOpen) return // it was on its way before
    this.#failures += 1
    this.#failure = reason
    if (this.#failures < failures) return
    this.#reason = "failing"
    this.#pausedUntil = clock.now() + Math.min(maxOpenMs, openMs * 2 ** Math.min(this.#failures - failures, 10))
    this.#isBroken = true
    onBreaker(this.#host, true)
  }

  #pauseFor({ status, headers }: EgressResponse): void {
    const { clock, maxPauseMs } = this.#options
    const asked = readRetryAfter(headers)
    if (status !== 429 && (status !== 503 || asked === null)) return
    const pause = Math.min(asked === null ? DEFAULT_PAUSE_MS : asked * 1000, maxPauseMs)
    const until = clock.now() + pause
    if (this.#pausedUntil !== null && until <= this.#pausedUntil) return
    this.#reason = "busy"
    this.#pausedUntil = until
  }
}
