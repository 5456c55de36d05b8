import type { Metrics } from "../telemetry/metrics.ts"
import type { Egress } from "./egress.ts"

/** Counts every request that goes out, under the names that the original's dashboards ask for. */
export const measuredEgress =
  (egress: Egress, { clientRequests, clientSeconds }: Metrics): Egress =>
  async (request, signal) => {
    const startedAt = performance.now()
    const method = request.method.toLowerCase()
    const record = (code: string) => {
      clientRequests.inc({ method, code })
      clientSeconds.observe({ method, code }, (performance.now() - startedAt) / 1000)
    }
    try {
      const response = await egress(request, signal)
      record(String(response.status))
      return response
    } catch (error) {
      record("error")
      throw error
    }
  }
