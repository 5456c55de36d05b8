import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startApp } from "../../src/app/app.ts"
import { loadConfig } from "../../src/config/load.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { PRODUCTION, type Tuning } from "../../src/tuning.ts"
import { tempDir } from "./temp-dir.ts"

export interface FileServerOptions {
  readonly dir?: string
  /** Merged into the configuration's `blobserve`. */
  readonly blobserve?: Readonly<Record<string, unknown>>
  /** Merged into the configuration. */
  readonly config?: Readonly<Record<string, unknown>>
  readonly tuning?: Partial<Tuning>
}

export interface FileServer {
  readonly dir: string
  readonly url: string
  /** Of the registry beside it; "" where there is none. */
  readonly registry: string
  readonly logs: Readonly<Record<string, unknown>>[]
  get(path: string, init?: RequestInit): Promise<Response>
  text(path: string, init?: RequestInit): Promise<string>
  stop(): Promise<void>
}

/** Starts a server for files of images, by default alone and with a directory of its own. */
export async function startFiles(options: FileServerOptions = {}): Promise<FileServer> {
  const dir = options.dir ?? tempDir()
  mkdirSync(dir, { recursive: true })
  const file = join(dir, "config.json")
  const blobserve = {
    port: 0,
    host: "127.0.0.1",
    timeout: "20s",
    blobSpace: { location: "space" },
    ...options.blobserve,
  }
  writeFileSync(file, JSON.stringify({ shutdown: { delay: "0", grace: "5s" }, ...options.config, blobserve }))
  const logs: Record<string, unknown>[] = []
  const write = (line: string) => void logs.push(JSON.parse(line))
  const log = createLogger({ format: "json", version: "test", level: () => "debug", write })
  const app = await startApp(await loadConfig(file), { log, tuning: { ...PRODUCTION, ...options.tuning } })
  const url = `http://127.0.0.1:${app.blobservePort}`
  const get = async (path: string, init?: RequestInit) =>
    await fetch(`${url}${path}`, { redirect: "manual", decompress: false, ...init })
  return {
    dir,
    url,
    registry: app.registryPort === null ? "" : `http://127.0.0.1:${app.registryPort}`,
    logs,
    get,
    text: async (path, init) => await (await get(path, init)).text(),
    stop: () => app.stop(true),
  }
}
