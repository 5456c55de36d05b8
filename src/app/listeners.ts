import type { BlobserveConfig } from "../config/blobserve.ts"
import type { Config, RegistryConfig } from "../config/load.ts"
import type { BlobserveApp } from "../http/blobserve/app.ts"
import { debugApp } from "../http/debug.ts"
import { metricsApp } from "../http/metrics.ts"
import { probesApp } from "../http/probes.ts"
import { type Handle, joinAddress, type Listener, listen, type OpenFiles, type StallPolicy } from "../http/server.ts"
import type { LogLevel } from "../telemetry/log-level.ts"
import type { Readiness } from "../telemetry/readiness.ts"
import type { Tuning } from "../tuning.ts"
import { fileBudget } from "./file-budget.ts"
import { RegistryPort } from "./registry-port.ts"
import type { Tools } from "./tools.ts"

/** What every port is opened with. */
export interface Ports {
  readonly tools: Tools
  /** Another process of the same user may have the ports already. */
  readonly mayShare: boolean
  readonly openFiles: OpenFiles
}

/** Rejects when the port cannot be opened, or there is no certificate for it. */
export async function openRegistryPort(
  { host: hostname, port, tls }: RegistryConfig,
  handle: Handle,
  ports: Ports,
): Promise<RegistryPort> {
  const opened = await RegistryPort.open(tls, { ...serviceOptions(handle, ports), hostname, port }, ports.tools)
  const message = `${tls === null ? "HTTP" : "HTTPS"} registry server listening`
  ports.tools.log.info(message, { addr: joinAddress(hostname, opened.port) })
  return opened
}

/** The registry without TLS where the environment asks for it, as the original had it: a failure is only logged. */
export function listenWithoutTls({ noTlsDebugAddr }: Config, handle: Handle, ports: Ports): readonly Listener[] {
  if (noTlsDebugAddr === null) return []
  const { log } = ports.tools
  const env = "REGFAC_NO_TLS_DEBUG"
  try {
    const address = splitAddress(noTlsDebugAddr, "0.0.0.0")
    const listener = listen({ ...serviceOptions(handle, ports), ...address })
    log.warn("serving without TLS, too", { env, addr: joinAddress(address.hostname, listener.port) })
    return [listener]
  } catch (error) {
    log.error("cannot serve without TLS, too", { env, addr: noTlsDebugAddr, error })
    return []
  }
}

function serviceOptions(handle: Handle, { mayShare, openFiles, tools }: Ports) {
  const { log, metrics, tuning } = tools
  const { requests } = fileBudget(tuning)
  const stall = stallPolicy(tuning, Math.floor(requests / 2))
  return { handle, log, metrics, maxConcurrent: requests, openFiles, stall, mayShare }
}

function stallPolicy({ serving }: Tuning, patientRequests: number): StallPolicy {
  const { idleSeconds, stallSeconds: seconds } = serving
  return { patientRequests, seconds, idleSeconds }
}

/** Throws when the port cannot be opened. */
export function listenBlobserve(
  { host: hostname, port }: BlobserveConfig,
  { handle, instant }: BlobserveApp,
  ports: Ports,
): Listener {
  const listener = listen({ ...serviceOptions(handle, ports), hostname, port, instant, route: instant.route })
  ports.tools.log.info("blob HTTP server listening", { addr: joinAddress(hostname, listener.port) })
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
  const stall = stallPolicy(tools.tuning, 0)
  const options = { log: tools.log, metrics: null, maxConcurrent: OPERATION_REQUESTS, stall, mayShare }
  const listener = listen({ hostname, port, handle, ...options })
  tools.log.info(message, { addr: joinAddress(hostname, listener.port) })
  return listener
}

/** `anyHost` is meant where an address has only a port. Throws when it is no address. */
function splitAddress(address: string, anyHost: string): { readonly hostname: string; readonly port: number } {
  const [, host = "", port = ""] = /^(.*):(\d{1,5})$/.exec(address) ?? []
  if (port === "" || Number(port) > 65_535)
    throw new Error(`Cannot listen on ${JSON.stringify(address)}: expected "host:port" or ":port"`)
  const hostname = host.replace(/^\[|\]$/g, "")
  return { hostname: hostname === "" ? anyHost : hostname, port: Number(port) }
}
