import type { Config } from "../config/load.ts"
import { httpApp } from "../http/app.ts"
import type { Listener } from "../http/server.ts"
import type { Logger } from "../telemetry/log.ts"
import type { LogLevel } from "../telemetry/log-level.ts"
import { PRODUCTION, type Tuning } from "../tuning.ts"
import { VERSION } from "../version.ts"
import { keepUp } from "./disk.ts"
import { listenOperation, listenRegistry, listenWithoutTls } from "./listeners.ts"
import { openLogin } from "./login.ts"
import { buildRegistry } from "./registry.ts"

export interface AppOptions {
  readonly log: Logger
  readonly tuning?: Tuning
  /** Of `log`; the debug listener changes it. */
  readonly level?: LogLevel
  /** True: the ports may be shared with a process that this one replaces. */
  readonly mayShare?: boolean
}

export interface RunningApp {
  /** Of the registry; null where the configuration has none. */
  readonly registryPort: number | null
  /** Says that it is not ready from now on, and asks clients to connect anew elsewhere; goes on serving. */
  retire(): void
  /** Accepts nothing new; resolves when running answers are complete, or cuts them off. Probes are answered to the end. */
  stop(isForced: boolean): Promise<void>
}

/** Opens the ports and serves. Rejects when the configuration or the machine does not allow it. */
export async function startApp(config: Config, options: AppOptions): Promise<RunningApp> {
  const { log, tuning = PRODUCTION, level = { current: "info" }, mayShare = false } = options
  const { registry } = config
  if (registry === null) throw new Error(`Cannot serve ${config.file}: it has no section "registry"`)
  const parts = await buildRegistry(registry, log, tuning)
  const { images, metrics, readiness, store } = parts
  const { prefix } = registry
  const login = await openLogin(registry, { log, metrics, tuning }).catch(async (error) => {
    await parts.close()
    throw error
  })
  const handle = httpApp({ facade: () => images, prefix, ...login, version: VERSION, log, metrics })
  const background = new AbortController()
  const serving: Listener[] = []
  const operation: Listener[] = []
  let closing: Promise<void> | null = null
  const stop = async (isForced: boolean) => {
    background.abort()
    await Promise.all(serving.map((listener) => listener.stop(isForced)))
    login.close()
    closing ??= parts.close() // stopping by force ends a gentle stop that waits, too
    await closing
    await Promise.all(operation.map((listener) => listener.stop(true)))
  }
  try {
    const ports = { tools: { log, metrics, tuning }, mayShare }
    serving.push(await listenRegistry(registry, handle, ports))
    serving.push(...listenWithoutTls(config, handle, ports))
    for (const listener of listenOperation(config, { readiness, level }, ports)) operation.push(listener)
  } catch (error) {
    await stop(true)
    throw error
  }
  parts.watch()
  void keepUp(store, tuning, background.signal)
  const retire = () => {
    readiness.failed("serving", "the process is shutting down")
    for (const listener of serving) listener.retire()
  }
  return { registryPort: serving[0]?.port ?? null, retire, stop }
}
