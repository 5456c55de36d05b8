import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startApp } from "../../src/app/app.ts"
import { loadConfig } from "../../src/config/load.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { PRODUCTION, type Tuning } from "../../src/tuning.ts"
import { tempDir } from "./temp-dir.ts"

/** The sources in this process, or the compiled binary in its own. */
export type Mode = "source" | "binary"

export const BINARY = join(import.meta.dir, "../../dist/registry-facade")

export interface FacadeOptions {
  readonly mode?: Mode
  /** Content of the file of fixed specs. */
  readonly specs?: unknown
  /** Merged into the configuration's `registry`. */
  readonly registry?: Readonly<Record<string, unknown>>
  /** Merged into the configuration. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Where the configuration stands; made if needed. */
  readonly dir?: string
  readonly env?: Readonly<Record<string, string>>
  /** What the test's own requests need where the facade speaks TLS. */
  readonly clientTls?: { readonly ca: string; readonly cert?: string; readonly key?: string }
  /** Of the sources: in place of production's. */
  readonly tuning?: Tuning
  /** Of the sources: true follows the configuration's file, as the binary does. */
  readonly isFollowing?: boolean
  /** Of the binary, after the configuration. */
  readonly args?: readonly string[]
  /** Of the binary, before the command. */
  readonly flags?: readonly string[]
  /** Of the binary: the configuration that it gets in place of the one that is written. */
  readonly file?: string
  /** Put before the binary's command; it has to exec, so that the process stays the same. */
  readonly wrapper?: readonly string[]
  /** In place of the binary for this machine. */
  readonly program?: string
}

export interface RunningFacade {
  readonly dir: string
  readonly host: string
  readonly url: string
  /** Of the binary; null where the facade is in this process. */
  readonly pid: number | null
  /** The exit code of the binary once it has ended. */
  readonly exited: Promise<number>
  readonly logs: Readonly<Record<string, unknown>>[]
  /** Writes the specs again, as an editor does. */
  writeSpecs(specs: unknown): void
  get(path: string, init?: RequestInit): Promise<Response>
  stop(): Promise<void>
}

/** Starts a facade on a free port with a store of its own. */
export async function startFacade(options: FacadeOptions = {}): Promise<RunningFacade> {
  const dir = options.dir ?? tempDir()
  mkdirSync(dir, { recursive: true })
  const specsFile = join(dir, "specs.json")
  if (options.specs !== undefined) writeFileSync(specsFile, JSON.stringify(options.specs))
  const fixed = existsSync(specsFile) ? { fixedSpecFN: "specs.json" } : {}
  const registry = { port: 0, host: "127.0.0.1", store: "store", ...fixed, ...options.registry }
  const file = join(dir, options.file ?? "config.json")
  writeFileSync(
    join(dir, "config.json"),
    JSON.stringify({ shutdown: { delay: "0", grace: "5s" }, ...options.config, registry }),
  )
  const logs: Record<string, unknown>[] = []
  const start = options.mode === "binary" ? startBinary : startSource
  const running = await start(file, logs, options)
  const url = `${running.scheme}://127.0.0.1:${running.port}`
  const tls = options.clientTls === undefined ? {} : { tls: options.clientTls }
  return {
    dir,
    host: `127.0.0.1:${running.port}`,
    url,
    pid: running.pid,
    exited: running.exited,
    logs,
    writeSpecs: (specs) => writeFileSync(specsFile, JSON.stringify(specs)),
    get: async (path, init) => await fetch(`${url}${path}`, { redirect: "manual", decompress: false, ...tls, ...init }),
    stop: running.stop,
  }
}

interface Running {
  readonly scheme: "http" | "https"
  readonly port: number
  readonly pid: number | null
  readonly exited: Promise<number>
  stop(): Promise<void>
}

async function startSource(
  file: string,
  logs: Record<string, unknown>[],
  { env = {}, isFollowing = false, tuning = PRODUCTION }: FacadeOptions,
): Promise<Running> {
  const log = createLogger({
    format: "json",
    version: "test",
    level: () => "debug",
    write: (line) => void logs.push(JSON.parse(line)),
  })
  const app = await startApp(await loadConfig(file, env), { log, tuning, isFollowing })
  const { promise: exited, resolve } = Promise.withResolvers<number>()
  const stop = async () => {
    await app.stop(true)
    resolve(0)
  }
  const scheme = logs.map(schemeOf).find((found) => found !== null) ?? "http"
  return { scheme, port: app.registryPort ?? 0, pid: null, exited, stop }
}

async function startBinary(
  file: string,
  logs: Record<string, unknown>[],
  { args = [], env = {}, flags = ["-v"], program = BINARY, wrapper = [] }: FacadeOptions,
): Promise<Running> {
  const child = Bun.spawn([...wrapper, program, ...flags, "run", file, ...args], {
    stderr: "pipe",
    stdout: "ignore",
    env: { ...process.env, ...env },
  })
  const { promise, resolve, reject } = Promise.withResolvers<Pick<Running, "port" | "scheme">>()
  void readLog(child.stderr, (entry) => {
    logs.push(entry)
    const port = /:(\d+)$/.exec(String(entry["addr"]))?.[1]
    const scheme = schemeOf(entry)
    if (scheme !== null && port !== undefined) resolve({ scheme, port: Number(port) })
  }).then(() => reject(new Error(`The facade has ended: ${JSON.stringify(logs)}`)))
  const stop = async () => {
    child.kill("SIGKILL")
    await child.exited
  }
  return { ...(await promise), pid: child.pid, exited: child.exited, stop }
}

/** Null: this line does not tell that the registry's port is open. */
function schemeOf(entry: Readonly<Record<string, unknown>>): Running["scheme"] | null {
  const name = /^(HTTPS?) registry server listening$/.exec(String(entry["message"]))?.[1]
  return name === undefined ? null : name === "HTTPS" ? "https" : "http"
}

/** Resolves when the program has ended. */
export async function readLog(
  stream: ReadableStream<Uint8Array>,
  each: (entry: Record<string, unknown>) => void,
): Promise<void> {
  await readLines(stream, (line) => each(parsed(line)))
}

function parsed(line: string): Record<string, unknown> {
  try {
    return JSON.parse(line)
  } catch {
    return { message: line }
  }
}

async function readLines(stream: ReadableStream<Uint8Array>, each: (line: string) => void): Promise<void> {
  let rest = ""
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) each(line)
  }
  if (rest !== "") each(rest)
}
