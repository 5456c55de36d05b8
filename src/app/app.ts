import type { Config } from "../config/load.ts"
import { httpApp } from "../http/app.ts"
import { metricsApp } from "../http/metrics.ts"
import { type Listener, listen } from "../http/server.ts"
import type { Logger } from "../telemetry/log.ts"
import { PRODUCTION, type Tuning } from "../tuning.ts"
import { VERSION } from "../version.ts"
import { keepUp } from "./disk.ts"
import { fileBudget } from "./file-budget.ts"
import { buildRegistry } from "./registry.ts"

export interface RunningApp {
  /** Of the registry; null where the configuration has none. */
  readonly registryPort: number | null
  stop(isForced: boolean): Promise<void>
}

const PROBE_REQUESTS = 100

/** Opens the ports and serves. Rejects when the configuration or the machine does not allow it. */
export async function startApp(config: Config, log: Logger, tuning: Tuning = PRODUCTION): Promise<RunningApp> {
  const { registry } = config
  if (registry === null) throw new Error(`Cannot serve ${config.file}: it has no section "registry"`)
  const parts = await buildRegistry(registry, log, tuning)
  const { images, metrics, store } = parts
  const handle = httpApp({
    facade: () => images,
    prefix: registry.prefix,
    isPrivate: false,
    version: VERSION,
    log,
    metrics,
  })
  const { requests } = fileBudget(tuning)
  const background = new AbortController()
  const listeners: Listener[] = []
  const stop = async (isForced: boolean) => {
    background.abort()
    await Promise.all(listeners.map((listener) => listener.stop(isForced)))
    await parts.close()
  }
  try {
    const { host: hostname, port } = registry
    listeners.push(listen({ hostname, port, handle, log, metrics, maxConcurrent: requests }))
    if (config.prometheusAddr !== null) {
      const address = splitAddress(config.prometheusAddr)
      const options = { handle: metricsApp(metrics), log, metrics: null, maxConcurrent: PROBE_REQUESTS }
      listeners.push(listen({ ...address, ...options }))
    }
  } catch (error) {
    await stop(true)
    throw error
  }
  void keepUp(store, tuning, background.signal)
  const registryPort = listeners[0]?.port ?? null
  log.info("HTTP registry server listening", { addr: `${registry.host}:${registryPort}` })
  return { registryPort, stop }
}

function splitAddress(address: string): { readonly hostname: string; readonly port: number } {
  const colon = address.lastIndexOf(":")
  const hostname = address.slice(0, colon).replace(/^\[|\]$/g, "")
  return { hostname: hostname === "" ? "0.0.0.0" : hostname, port: Number(address.slice(colon + 1)) }
}
