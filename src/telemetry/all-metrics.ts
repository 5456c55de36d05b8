import { openFilesLimit } from "../lib/open-files.ts"
import { createMetrics, type Metrics } from "./metrics.ts"
import { processMetrics } from "./process-metrics.ts"

/** The metrics of a process that serves: what it counts, and what it takes of its machine. */
export function declareAllMetrics(strays: { readonly count: number } = { count: 0 }): Metrics {
  const metrics = createMetrics()
  processMetrics(metrics.registry, { openFilesLimit: openFilesLimit(), strays })
  return metrics
}
