import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startApp } from "../../src/app/app.ts"
import { loadConfig } from "../../src/config/load.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { PRODUCTION, type Tuning } from "../../src/tuning.ts"
import { BINARY, type Mode, readLog } from "./facade.ts"
import { tempDir } from "./temp-dir.ts"

export interface FileServerOptions {
  readonly mode?: Mode
  readonly dir?: string
  /** Merged into the configuration's `blobserve`. */
  readonly blobserve?: Readonly<Record<string, unknown>>
  /** Merged into the configuration. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Of the sources: in place of production's. */
  readonly tuning?: Partial<Tuning>
  /** True: changes of the configuration's file are applied. The binary does so always. */
  readonly isFollowing?: boolean
  /** Of the binary's log; absent: debug. */
  readonly level?: "info"
  /** Put before the binary's command; it has to exec, so that the process stays the same. */
  readonly wrapper?: readonly string[]
}

export interface FileServer {
  readonly dir: string
  readonly url: string
  /** Of the registry beside it; "" where there is none. */
  readonly registry: string
  readonly logs: Readonly<Record<string, unknown>>[]
  /** Of the binary; null where the server is in this process. */
  readonly pid: number | null
  /** Writes the configuration's `blobserve` again, merged into what it was; `top` beside it. */
  configure(blobserve: Readonly<Record<string, unknown>>, top?: Readonly<Record<string, unknown>>): void
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
  const running = await (options.mode === "binary" ? startBinary : startSource)(file, logs, options)
  const { url } = running
  const configure: FileServer["configure"] = (changed, top = {}) => {
    const before = JSON.parse(readFileSync(file, "utf8"))
    const after = { ...before, ...top, blobserve: { ...before.blobserve, ...changed } }
    writeFileSync(`${file}.new`, JSON.stringify(after))
    renameSync(`${file}.new`, file)
  }
  const get = async (path: string, init?: RequestInit) =>
    await fetch(`${url}${path}`, { redirect: "manual", decompress: false, ...init })
  return {
    dir,
    ...running,
    logs,
    configure,
    get,
    text: async (path, init) => await (await get(path, init)).text(),
  }
}

const FILES = "blob HTTP server listening"
const REGISTRY = "HTTP registry server listening"

type Running = Pick<FileServer, "url" | "registry" | "pid" | "stop">

async function startSource(
  file: string,
  logs: Record<string, unknown>[],
  { isFollowing = false, tuning }: FileServerOptions,
): Promise<Running> {
  const write = (line: string) => void logs.push(JSON.parse(line))
  const log = createLogger({ format: "json", version: "test", level: () => "debug", write })
  const app = await startApp(await loadConfig(file), { log, tuning: { ...PRODUCTION, ...tuning }, isFollowing })
  return {
    url: `http://127.0.0.1:${app.blobservePort}`,
    registry: app.registryPort === null ? "" : `http://127.0.0.1:${app.registryPort}`,
    pid: null,
    stop: () => app.stop(true),
  }
}

async function startBinary(
  file: string,
  logs: Record<string, unknown>[],
  { config = {}, level, wrapper = [] }: FileServerOptions,
): Promise<Running> {
  const verbose = level === undefined ? ["-v"] : []
  const child = Bun.spawn([...wrapper, BINARY, ...verbose, "run", file], { stderr: "pipe", stdout: "ignore" })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const last = config["registry"] === undefined ? FILES : REGISTRY
  void readLog(child.stderr, (entry) => {
    logs.push(entry)
    if (entry["message"] === last) resolve()
  }).then(() => reject(new Error(`The server has ended: ${JSON.stringify(logs)}`)))
  const stop = async () => {
    child.kill("SIGKILL")
    await child.exited
  }
  await promise
  const addressOf = (name: string) => logs.find(({ message }) => message === name)?.["addr"]
  const registry = addressOf(REGISTRY)
  return {
    url: `http://${addressOf(FILES)}`,
    registry: registry === undefined ? "" : `http://${registry}`,
    pid: child.pid,
    stop,
  }
}
