import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Tuning } from "../tuning.ts"

/** What everything is built with. */
export interface Tools {
  readonly log: Logger
  readonly metrics: Metrics
  readonly tuning: Tuning
}
