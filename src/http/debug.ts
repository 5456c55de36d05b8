import { Session } from "node:inspector/promises"
import { Elysia } from "elysia"
import { isRecord } from "../lib/record.ts"
import { readText } from "../lib/stream.ts"
import type { Level, Logger } from "../telemetry/log.ts"
import { type LogLevel, levelName, parseLevel } from "../telemetry/log-level.ts"

export interface DebugAppOptions {
  readonly level: LogLevel
  readonly log: Logger
}

const LIST = `/debug/logging                    GET, or POST {"level": "debug"}: what is logged
/debug/heap-snapshot              GET: all objects in memory, for the Memory tab of Chrome's developer tools
/debug/cpu-profile?seconds=N      GET: what the process does for N seconds (10), for the Performance tab
`

const DEFAULT_SECONDS = 10
const MAX_SECONDS = 300
const MAX_BODY_BYTES = 1024

/** For people who look into a running process; never on a port that others reach: a heap holds every secret. */
export function debugApp({ level, log }: DebugAppOptions): (request: Request) => Promise<Response> {
  const setLevel = async (request: Request): Promise<Response> => {
    const wanted = await readLevel(request)
    if (wanted === null) return plain(400, 'Expected {"level": "debug"}, or info, warning, error\n')
    if (wanted !== level.current) log.info("log level changed", { to: levelName(wanted) })
    level.current = wanted
    return levelAnswer(level)
  }
  let isProfiling = false
  const profile = async (seconds: number): Promise<Response> => {
    if (!(seconds > 0 && seconds <= MAX_SECONDS)) return plain(400, `Expected seconds up to ${MAX_SECONDS}\n`)
    if (isProfiling) return plain(409, "A CPU profile is being taken, try again when it is done\n")
    isProfiling = true
    try {
      return attachment(JSON.stringify(await takeProfile(seconds)), "cpu.cpuprofile")
    } finally {
      isProfiling = false
    }
  }
  const app = new Elysia({ name: "debug", normalize: false, handler: { standardHostname: false } })
    .get("/debug/", () => plain(200, LIST))
    .get("/debug/logging", () => levelAnswer(level))
    .post("/debug/logging", ({ request }) => setLevel(request), { parse: "none" })
    .put("/debug/logging", ({ request }) => setLevel(request), { parse: "none" })
    .get("/debug/heap-snapshot", () => attachment(Bun.generateHeapSnapshot("v8", "arraybuffer"), "heap.heapsnapshot"))
    .get("/debug/cpu-profile", ({ query }) => profile(Number(query["seconds"] ?? DEFAULT_SECONDS)))
    .onError(({ code }) => (code === "NOT_FOUND" ? plain(404, `Not found, there are:\n${LIST}`) : undefined))
  return async (request) => await app.fetch(request)
}

/** Null: it names no level. */
async function readLevel(request: Request): Promise<Level | null> {
  const value: unknown = await readBody(request).catch(() => null)
  const level = isRecord(value) ? value["level"] : null
  return typeof level === "string" ? parseLevel(level) : null
}

/** Rejects when it is no JSON, or more than anybody needs for a level. */
async function readBody({ body }: Request): Promise<unknown> {
  return body === null ? null : JSON.parse(await readText(body, MAX_BODY_BYTES))
}

async function takeProfile(seconds: number): Promise<unknown> {
  const session = new Session()
  session.connect()
  try {
    await session.post("Profiler.enable")
    await session.post("Profiler.start")
    await Bun.sleep(seconds * 1000)
    const { profile } = await session.post("Profiler.stop")
    return profile
  } finally {
    session.disconnect()
  }
}

const plain = (status: number, text: string): Response =>
  new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } })

const levelAnswer = ({ current }: LogLevel): Response =>
  new Response(`${JSON.stringify({ level: levelName(current) })}\n`, {
    headers: { "content-type": "application/json" },
  })

function attachment(content: string | ArrayBuffer, name: string): Response {
  const headers = { "content-type": "application/json", "content-disposition": `attachment; filename="${name}"` }
  return new Response(content, { headers })
}
