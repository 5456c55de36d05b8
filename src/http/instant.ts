import type { Route } from "../telemetry/labels.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { RequestCount } from "../telemetry/request-count.ts"
import type { RequestTally } from "../telemetry/request-tally.ts"
import { tenths } from "./access.ts"

/** An answer to GET that is known to its last byte before it is asked for. */
export interface InstantAnswer {
  /** Not an array, of which each response would have a copy. */
  readonly body: Blob
  /** Of its response, with its Content-Length. Made once, because to make it takes as long as to send a small file. */
  readonly init: { readonly headers: Headers }
  readonly tally: RequestTally
}

/**
 * What is asked for again and again. Such requests go past all that others go through, which takes several times as long as
 * to send a small file.
 */
export interface InstantAnswers {
  /** What they are counted as. */
  readonly route: Route
  /** `now` is from `performance.now()`. Null: the request has to be looked at as any other. */
  find(request: Request, now: number): InstantAnswer | null
  /** Told of each that was sent, and how long it took. */
  sent(seconds: number): void
}

/** Counts what was answered at once, and tells the log of it. */
export class InstantRecord {
  readonly #log: Logger
  readonly #count: RequestCount

  constructor(log: Logger, { httpRequests, httpSeconds }: Metrics, route: Route) {
    this.#log = log
    this.#count = new RequestCount(() => ({
      requests: httpRequests.of({ route, code: 200 }),
      seconds: httpSeconds.of({ route }),
    }))
  }

  sent({ tally }: InstantAnswer, seconds: number): void {
    this.#count.add(seconds)
    this.#log.sameRequest(tally, tenths(seconds))
  }
}
