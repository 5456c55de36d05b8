import type { Config } from "../config/load.ts"
import { post } from "../egress/post.ts"
import type { Logger } from "../telemetry/log.ts"
import { type Tracer, untraced } from "../telemetry/tracer.ts"
import type { Tuning } from "../tuning.ts"
import { VERSION } from "../version.ts"

const TIMEOUT_MS = 5000

/** Loads the tracer only where there is a collector: it costs memory and time to start. */
export async function openTracer(config: Config, log: Logger, { proxies }: Tuning): Promise<Tracer> {
  const { endpoint, headers, problems, sampleRatio } = config.tracing
  for (const problem of problems) log.warn("cannot use a setting of the environment for spans", { problem })
  if (endpoint === null) return untraced
  const { OtlpTracer } = await import("../telemetry/otlp-tracer.ts")
  const options = { headers: { ...headers, "content-type": "application/json" }, timeoutMs: TIMEOUT_MS, proxies }
  log.info("sending spans to an OpenTelemetry collector", { endpoint: endpoint.origin + endpoint.pathname })
  return new OtlpTracer({
    sampleRatio,
    version: VERSION,
    log,
    send: async (batch) => await post(endpoint, batch, options),
  })
}
