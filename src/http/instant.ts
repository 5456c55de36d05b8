import type { Route } from "../telemetry/labels.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { RequestTally } from "../telemetry/request-tally.ts"

/** An answer to GET that is known to its last byte before it is asked for. */
export interface InstantAnswer {
  /** Not as an array, which each response would have a copy of. */
  readonly body: Blob
  /** Of its response, with its Content-Length. Made once, because each answer to a small file would take longer to make than to send. */
  readonly init: { readonly headers: Headers }
  readonly tally: RequestTally
}

/**
 * What is asked for again and again. Such requests go past all that others go through, which takes several times as long as
 * to send a small file.
 */
export interface InstantAnswers {
  /** `now` is in milliseconds that only grow. Null: the request has to be looked at as any other. */
  find(request: Request, now: number): InstantAnswer | null
  /** Told of each that was sent, and how long it took. */
  sent(seconds: number): void
}

/** Counts what was answered at once, and tells the log of it. */
export class InstantRecord {
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #route: Route
  #held: Held | null = null

  constructor(log: Logger, metrics: Metrics, route: Route) {
    this.#log = log
    this.#metrics = metrics
    this.#route = route
  }

  sent({ tally }: InstantAnswer, seconds: number): void {
    this.#held ??= hold(this.#metrics, this.#route)
    this.#held.requests.inc()
    this.#held.seconds.add(seconds)
    this.#log.sameRequest(tally, Math.round(seconds * 10_000) / 10)
  }
}

type Held = ReturnType<typeof hold>

const hold = ({ httpRequests, httpSeconds }: Metrics, route: Route) => ({
  requests: httpRequests.of({ route, code: 200 }),
  seconds: httpSeconds.of({ route }),
})
