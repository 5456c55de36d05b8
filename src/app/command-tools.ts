import type { RegistryConfig } from "../config/load.ts"
import type { Images } from "../facade/images.ts"
import type { Logger } from "../telemetry/log.ts"
import { createMetrics } from "../telemetry/metrics.ts"
import { Readiness } from "../telemetry/readiness.ts"
import { untraced } from "../telemetry/tracer.ts"
import type { Tuning } from "../tuning.ts"
import { CurrentRegistry } from "./current-registry.ts"
import { openKept } from "./kept.ts"
import type { Tools } from "./tools.ts"

/** What a command that does its work and ends is built with: nobody scrapes, probes or traces it. */
export const commandTools = (log: Logger, tuning: Tuning): Tools => ({
  log,
  tuning,
  metrics: createMetrics(),
  readiness: new Readiness(log),
  tracer: untraced,
})

/** Composes as a serving process does, without ports: for commands that do their work and end. */
export async function withImages<Result>(
  config: RegistryConfig,
  { log, tuning }: { readonly log: Logger; readonly tuning: Tuning },
  use: (images: Images) => Promise<Result>,
): Promise<Result> {
  const tools = commandTools(log, tuning)
  const kept = await openKept(config, tools)
  try {
    const registry = await CurrentRegistry.create(config, kept, tools)
    return await use(registry.images).finally(() => registry.close())
  } finally {
    await kept.close()
  }
}
