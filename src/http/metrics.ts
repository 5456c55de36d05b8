import { Elysia } from "elysia"
import type { Metrics } from "../telemetry/metrics.ts"

/** GET /metrics in Prometheus' text format. */
export function metricsApp({ registry }: Metrics): (request: Request) => Promise<Response> {
  const app = new Elysia({ name: "metrics", normalize: false, handler: { standardHostname: false } })
    .get(
      "/metrics",
      async () => new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } }),
    )
    .onError(() => new Response("Not found, metrics are at /metrics\n", { status: 404 }))
  return async (request) => await app.fetch(request)
}
