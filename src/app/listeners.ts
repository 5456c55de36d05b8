import type { Config, RegistryConfig } from "../config/load.ts"
import { debugApp } from "../http/debug.ts"
import { metricsApp } from "../http/metrics.ts"
import { probesApp } from "../http/probes.ts"
import { type Listener, listen } from "../http/server.ts"
import type { LogLevel } from "../telemetry/log-level.ts"
import type { Readiness } from "../telemetry/readiness.ts"
import { fileBudget } from "./file-budget.ts"
import type { Tools } from "./tools.ts"

/** What every port is opened with. */
export interface Ports {
  readonly tools: Tools
  /** Another process of the same user may have the ports already. */
  readonly mayShare: boolean
}

type Handle = (request: Request) => Promise<Response>

export function listenRegistry({ host, port }: RegistryConfig, handle: Handle, { tools, mayShare }: Ports): Listener {
  const { log, metrics, tuning } = tools
  const { requests } = fileBudget(tuning)
  const listener = listen({ hostname: host, port, handle, log, metrics, maxConcurrent: requests, mayShare })
  log.info("HTTP registry server listening", { addr: `${host}:${listener.port}` })
  return listener
}

export interface Operation {
  readonly readiness: Readiness
  readonly level: LogLevel
}

const OPERATION_REQUESTS = 100

/** Opens the ports for those who watch over the process, as far as they are configured. */
export function* listenOperation(config: Config, { readiness, level }: Operation, ports: Ports): Generator<Listener> {
  const { log, metrics } = ports.tools
  const { pprofAddr, prometheusAddr, readinessProbeAddr } = config
  if (readinessProbeAddr !== null) {
    yield listenAt(readinessProbeAddr, "0.0.0.0", probesApp(readiness), ports, "started readiness probe server")
  }
  if (prometheusAddr !== null) {
    yield listenAt(prometheusAddr, "0.0.0.0", metricsApp(metrics), ports, "started Prometheus metrics server")
  }
  if (pprofAddr !== null) {
    yield listenAt(pprofAddr, "127.0.0.1", debugApp({ level, log }), ports, "started debug server")
  }
}

function listenAt(address: string, anyHost: string, handle: Handle, { tools, mayShare }: Ports, message: string) {
  const { hostname, port } = splitAddress(address, anyHost)
  const options = { log: tools.log, metrics: null, maxConcurrent: OPERATION_REQUESTS, mayShare }
  const listener = listen({ hostname, port, handle, ...options })
  tools.log.info(message, { addr: `${hostname}:${listener.port}` })
  return listener
}

/** `anyHost` is meant where an address has only a port. */
function splitAddress(address: string, anyHost: string): { readonly hostname: string; readonly port: number } {
  const colon = address.lastIndexOf(":")
  const hostname = address.slice(0, colon).replace(/^\[|\]$/g, "")
  return { hostname: hostname === "" ? anyHost : hostname, port: Number(address.slice(colon + 1)) }
}
