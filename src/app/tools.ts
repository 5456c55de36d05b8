import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Readiness } from "../telemetry/readiness.ts"
import type { Tracer } from "../telemetry/tracer.ts"
import type { Tuning } from "../tuning.ts"

/** What everything is built with. */
export interface Tools {
  readonly log: Logger
  readonly metrics: Metrics
  readonly readiness: Readiness
  readonly tracer: Tracer
  readonly tuning: Tuning
}
