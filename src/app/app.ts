import { isOfPort } from "../config/changes.ts"
import { type Config, imageSettings, type RegistryConfig } from "../config/load.ts"
import { httpApp } from "../http/app.ts"
import type { Listener } from "../http/server.ts"
import { traced } from "../http/traced.ts"
import { declareAllMetrics } from "../telemetry/all-metrics.ts"
import type { Logger } from "../telemetry/log.ts"
import type { LogLevel } from "../telemetry/log-level.ts"
import { Readiness } from "../telemetry/readiness.ts"
import { untraced } from "../telemetry/tracer.ts"
import { PRODUCTION, type Tuning } from "../tuning.ts"
import { VERSION } from "../version.ts"
import { type Blobserve, buildBlobserve } from "./blobserve.ts"
import { CurrentRegistry } from "./current-registry.ts"
import { keepUp } from "./disk.ts"
import { followConfig } from "./follow-config.ts"
import { type Kept, openKept } from "./kept.ts"
import { listenBlobserve, listenOperation, listenWithoutTls, openRegistryPort } from "./listeners.ts"
import { CurrentLogin } from "./login.ts"
import { OpenFilesWatch } from "./open-files-watch.ts"
import type { Prepared } from "./prepared.ts"
import type { RegistryPort } from "./registry-port.ts"
import type { Tools } from "./tools.ts"
import { openTracer } from "./tracing.ts"

export interface AppOptions {
  readonly log: Logger
  readonly tuning?: Tuning
  /** Of `log`; the debug listener changes it. */
  readonly level?: LogLevel
  /** Failures that nobody has expected, for the metrics. */
  readonly strays?: { readonly count: number }
  /** True: the ports may be shared with a process that this one replaces. */
  readonly mayShare?: boolean
  /** True: a change of the configuration's file is applied as far as that goes without a restart. */
  readonly isFollowing?: boolean
}

export interface RunningApp {
  /** Of the registry; null where the configuration has none. */
  readonly registryPort: number | null
  /** Of the server for files of images; null where the configuration has none. */
  readonly blobservePort: number | null
  /** As it is now: the file may have changed since the start. */
  readonly config: Config
  /** Says that it is not ready from now on, and asks clients to connect anew elsewhere; goes on serving. */
  retire(): void
  /** Accepts nothing new; resolves when running answers are complete, or cuts them off. Probes are answered to the end. */
  stop(isForced: boolean): Promise<void>
}

/** Opens the ports and serves. Rejects when the configuration or the machine does not allow it. */
export async function startApp(config: Config, options: AppOptions): Promise<RunningApp> {
  const { log, tuning = PRODUCTION } = options
  const { registry } = config
  const settings = imageSettings(config)
  const tracer = await openTracer(config, log, tuning)
  const tools = { log, metrics: declareAllMetrics(options.strays), readiness: new Readiness(log), tracer, tuning }
  const kept = await openKept(settings, tools)
  try {
    const login = await CurrentLogin.open(settings, tools)
    const current = await CurrentRegistry.create(settings, kept, tools).catch((error) => {
      login.close()
      throw error
    })
    const base = { kept, current, settings, isShared: registry !== null }
    const files = config.blobserve === null ? null : buildBlobserve(config.blobserve, base, tools)
    const app = new App(config, { kept, current, login, files, tools })
    await app.open(options)
    return app
  } catch (error) {
    await kept.close()
    throw error
  }
}

interface Parts {
  readonly kept: Kept
  readonly current: CurrentRegistry
  readonly login: CurrentLogin
  /** Null: no files of images are served. */
  readonly files: Blobserve | null
  readonly tools: Tools
}

class App implements RunningApp {
  readonly #parts: Parts
  readonly #serving: Listener[] = []
  readonly #operation: Listener[] = []
  readonly #background = new AbortController()
  #config: Config
  #registry: RegistryPort | null = null
  #blobserve: Listener | null = null
  #closing: Promise<void> | null = null

  constructor(config: Config, parts: Parts) {
    this.#config = config
    this.#parts = parts
  }

  get registryPort(): number | null {
    return this.#registry?.port ?? null
  }

  get blobservePort(): number | null {
    return this.#blobserve?.port ?? null
  }

  get config(): Config {
    return this.#config
  }

  /** Rejects, with every port closed again, when one cannot be opened. */
  async open(options: AppOptions): Promise<void> {
    const { current, files, kept, login, tools } = this.#parts
    const { log, readiness, tuning } = tools
    try {
      await this.#listen(options)
      if (options.isFollowing === true) await this.#follow()
      readiness.ok("serving")
    } catch (error) {
      await files?.close()
      current.close()
      login.close()
      await Promise.all([...this.#serving, ...this.#operation].map((listener) => listener.stop(true)))
      throw error
    }
    current.watch()
    void keepUp(kept.store, tuning, this.#background.signal)
    if (files !== null && files.store !== null) void keepUp(files.store, tuning, this.#background.signal)
    if (imageSettings(this.#config).store === null)
      log.warn('no "store" is configured, blobs are kept until this process ends', { path: kept.path })
    else log.info("using local filesystem to cache manifests and config", { storePath: kept.path })
  }

  async #listen({ level = { current: "info" }, mayShare = false }: AppOptions): Promise<void> {
    const { current, files, login, tools } = this.#parts
    const { log, metrics, readiness, tracer } = tools
    const openFiles = new OpenFilesWatch(tools)
    const ports = { tools, mayShare, openFiles }
    const { blobserve, registry } = this.#config
    // Pulls from the registry come last, so that none fails because another port is taken and the process ends again
    for (const listener of listenOperation(this.#config, { readiness, level }, ports)) this.#operation.push(listener)
    if (blobserve !== null && files !== null) {
      this.#blobserve = listenBlobserve(blobserve, files.app, ports)
      this.#serving.push(this.#blobserve)
    }
    if (registry !== null) {
      const facade = () => current.images
      const access = { authenticator: () => login.authenticator, isPrivate: () => login.isPrivate }
      const app = httpApp({ facade, prefix: registry.prefix, ...access, version: VERSION, log, metrics })
      const handle = tracer === untraced ? app : traced(app, tracer)
      this.#registry = await openRegistryPort(registry, handle, ports)
      this.#serving.push(this.#registry, ...listenWithoutTls(this.#config, handle, ports))
    }
    void openFiles.run(() => [...this.#serving, ...this.#operation], this.#background.signal)
  }

  retire(): void {
    this.#parts.tools.readiness.ended("serving", "the process is shutting down")
    for (const listener of this.#serving) listener.retire()
  }

  async stop(isForced: boolean): Promise<void> {
    this.#background.abort()
    await Promise.all(this.#serving.map((listener) => listener.stop(isForced)))
    this.#closing ??= this.#close() // stopping by force ends a gentle stop that waits, too
    await this.#closing
  }

  async #close(): Promise<void> {
    const { current, files, kept, login, tools } = this.#parts
    await files?.close()
    current.close()
    login.close()
    await kept.close()
    await tools.tracer.close()
    await Promise.all(this.#operation.map((listener) => listener.stop(true)))
  }

  async #follow(): Promise<void> {
    const apply = async (config: Config, keys: readonly string[], signal: AbortSignal) => {
      const isServed = config.registry !== null || this.#config.registry === null
      if (isServed) await this.#applyToRegistry(imageSettings(config), keys, signal)
      if (config.blobserve !== null) this.#parts.files?.apply(config.blobserve, imageSettings(config))
      this.#config = config
    }
    const stop = await followConfig(this.#config, apply, this.#parts.tools)
    this.#background.signal.addEventListener("abort", stop, { once: true })
  }

  /** Rejects, and nothing has changed, when a part of the configuration cannot be used. */
  async #applyToRegistry(config: RegistryConfig, keys: readonly string[], signal: AbortSignal): Promise<void> {
    const { current, login } = this.#parts
    const prepared: Prepared[] = []
    try {
      if (keys.some(isOfPort)) prepared.push(await login.prepare(config))
      if (this.#registry !== null && keys.includes("registry.tls"))
        prepared.push(await this.#registry.prepare(config.tls))
      await current.apply(config, keys, signal)
    } catch (error) {
      for (const change of prepared) change.discard()
      throw error
    }
    for (const change of prepared) change.apply()
  }
}
