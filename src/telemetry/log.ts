import { callerOf } from "./caller.ts"
import { Delayed } from "./delayed.ts"
import { Floods, WINDOW_MS } from "./floods.ts"
import { Repeats } from "./repeats.ts"
import type { RequestFields, RequestTally } from "./request-tally.ts"

export const LEVELS = ["debug", "info", "warn", "error"] as const
export type Level = (typeof LEVELS)[number]
export type Fields = Readonly<Record<string, unknown>>

export interface Logger {
  /** The line "request" at level info: of no other are there so many, so it is made in a way of its own. */
  request(fields: RequestFields): void
  /** One more of the same: the first few have lines of their own, the rest of a second has one together. */
  sameRequest(tally: RequestTally, ms: number): void
  debug(message: string, fields?: Fields): void
  info(message: string, fields?: Fields): void
  /** `cause`: what is to blame, such as a host that is away. One message about it is written once a minute. */
  warn(message: string, fields?: Fields, cause?: string | null): void
  /** As `warn`. */
  error(message: string, fields?: Fields, cause?: string | null): void
  /** Writes at once what waits for the end of its second. */
  tellRest(): void
}

export interface LineOptions {
  readonly format: "json" | "text"
  readonly version: string
}

export interface LoggerOptions extends LineOptions {
  /** Asked for every line, so that the level can change while the process runs. */
  readonly level: () => Level
  readonly write: (line: string) => void
  /** Takes what makes a line that is in no hurry; absent: it is made at once. */
  readonly writeLater?: (line: () => string) => void
  /** Milliseconds that only grow; absent: the system's. */
  readonly now?: () => number
  /** Absent: a timer that keeps no process alive. */
  readonly later?: (run: () => void, ms: number) => void
}

const SEVERITY = { debug: "DEBUG", info: "INFO", warn: "WARNING", error: "ERROR" } as const
/** Of texts, which may come from anybody, and of those that we have put together ourselves. */
const MAX_BYTES = 256
const MAX_OWN_BYTES = 2048
const OWN: ReadonlySet<string> = new Set(["error", "problem", "reason", "stack"])
const REPORTED_ERROR = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"

/** One line per entry; JSON in the shape that Google Cloud's log agents read, as the original facade wrote it. */
export function createLogger(options: LoggerOptions): Logger {
  const { level, now = () => performance.now(), write } = options
  const { writeLater = (line: () => string) => write(line()) } = options
  const { later = (run, ms) => void setTimeout(run, ms).unref() } = options
  const repeats = new Repeats(now)
  const rest = new Delayed(later)
  const floods = new Floods({ now, later: (run, ms) => rest.add(run, ms) })
  const isWanted = (entryLevel: Level) => LEVELS.indexOf(entryLevel) >= LEVELS.indexOf(level())
  /** How often it was left out before; null: leave it out. Who looks for a fault wants all of it. */
  const leftOut = (entryLevel: Level, message: string, cause: string | null) => {
    if (level() === "debug" || !isTrouble(entryLevel)) return 0
    if (cause !== null) return repeats.leftOut(`${message}\n${cause}`)
    const summarise = (repeated: number) => write(formatLine(options, entryLevel, message, { repeated }))
    return floods.admits(message, summarise) ? 0 : null
  }
  // Finding the place is too slow for every request
  const isPlaced = (entryLevel: Level) => level() === "debug" || isTrouble(entryLevel)
  const emit = (entryLevel: Level) => {
    const log = (message: string, fields: Fields = {}, cause: string | null = null) => {
      if (!isWanted(entryLevel)) return
      const repeated = leftOut(entryLevel, message, cause)
      if (repeated === null) return
      const ms = Date.now()
      if (!isPlaced(entryLevel)) return writeLater(() => formatLine(options, entryLevel, message, fields, ms))
      const all = { ...callerOf(log), ...fields, ...(repeated === 0 ? {} : { repeated }) }
      write(formatLine(options, entryLevel, message, all, ms))
    }
    return log
  }
  const request = (fields: RequestFields) => {
    if (!isWanted("info")) return
    const ms = Date.now()
    if (!isPlaced("info")) return writeLater(() => requestLine(options, fields, ms))
    write(formatLine(options, "info", REQUEST, { ...callerOf(request), ...fields }, ms))
  }
  const sameRequest = (tally: RequestTally, ms: number) => {
    if (!isWanted("info")) return
    if (level() === "debug" || tally.admits()) request(tally.fields(ms))
    else if (tally.leaveOut(ms)) rest.add(() => tellLeftOut(tally), WINDOW_MS)
  }
  const tellLeftOut = (tally: RequestTally) => {
    const fields = { ...tally.takeLeftOut() }
    if (isWanted("info")) write(formatLine(options, "info", REQUEST, fields))
  }
  const [debug, info, warn, error] = [emit("debug"), emit("info"), emit("warn"), emit("error")]
  return { request, sameRequest, debug, info, warn, error, tellRest: () => rest.runAll() }
}

/** What clients may cause without end, besides the lines of their requests. */
const isTrouble = (level: Level): boolean => level === "warn" || level === "error"

/** One entry as it is now, with its line break. `ms` is when it happened, since the epoch. */
export function formatLine(
  { format, version }: LineOptions,
  level: Level,
  message: string,
  fields: Fields,
  ms: number = Date.now(),
): string {
  const print = format === "json" ? jsonLine : textLine
  return print(level, message, fields, { version, time: timestamp(ms) })
}

const REQUEST = "request"

/** The same as `formatLine` gives, in a quarter of the time. The method is one of those that there are, so it is short. */
export function requestLine(options: LineOptions, fields: RequestFields, ms: number): string {
  if (options.format !== "json") return formatLine(options, "info", REQUEST, { ...fields }, ms)
  const { bytes, method, ms: took, path, status } = fields
  const begin = requestBegin(options.version, ms)
  return `${begin}${quoted(method)},"path":${quoted(truncated(path, MAX_BYTES))},"status":${status},"bytes":${bytes},"ms":${took}}\n`
}

let latestBegin = { ms: 0, version: "", text: "" }

/** Up to where requests of the same millisecond differ. */
function requestBegin(version: string, ms: number): string {
  if (ms === latestBegin.ms && version === latestBegin.version) return latestBegin.text
  const line = jsonLine("info", REQUEST, {}, { version, time: timestamp(ms) })
  latestBegin = { ms, version, text: `${line.slice(0, line.lastIndexOf("}"))},"method":` }
  return latestBegin.text
}

/** What stands in JSON as it is, but for its quotes. */
const PLAIN = /^[ !#-[\]-~]*$/
const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text))

let latest = { ms: 0, text: "" }

/** The time as it is written, which takes longer than to tell it: lines of the same millisecond share it. */
function timestamp(ms: number): string {
  if (ms !== latest.ms) latest = { ms, text: new Date(ms).toISOString() }
  return latest.text
}

/** What went wrong and why, on one line: the messages of an error and of its causes. */
export function errorText(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorText).join("; ")
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? "" : errorText(error.cause)
  return cause === "" || error.message.includes(cause) ? error.message : `${error.message}: ${cause}`
}

interface Stamp {
  readonly version: string
  readonly time: string
}

function jsonLine(level: Level, message: string, fields: Fields, { version, time }: Stamp): string {
  const reported = fields["error"] !== undefined && (level === "warn" || level === "error")
  const entry: Record<string, unknown> = {
    level: level === "warn" ? "warning" : level,
    severity: SEVERITY[level],
    message,
    time,
    serviceContext: { service: "registry-facade", version },
  }
  if (reported) entry["@type"] = REPORTED_ERROR
  let isDeep = false
  for (const key in fields) {
    const value = printable(key, fields[key])
    entry[key] = value
    isDeep ||= typeof value === "object" && value !== null
  }
  // A replacer makes it several times slower, and most lines have nothing for it to replace
  return `${isDeep ? JSON.stringify(entry, printable) : JSON.stringify(entry)}\n`
}

function textLine(level: Level, message: string, fields: Fields, { time }: Stamp): string {
  let line = `${time} ${SEVERITY[level].padEnd(7)} ${message}`
  for (const key in fields) line += ` ${key}=${JSON.stringify(printable(key, fields[key]))}`
  return `${line}\n`
}

function printable(key: string, value: unknown): unknown {
  if (value instanceof Error) return truncated(errorText(value), MAX_OWN_BYTES)
  if (typeof value === "bigint") return value.toString()
  return typeof value === "string" ? truncated(value, OWN.has(key) ? MAX_OWN_BYTES : MAX_BYTES) : value
}

function truncated(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text
  const bytes = Buffer.from(text.slice(0, maxBytes)).subarray(0, maxBytes)
  return `${bytes.toString().replace(/\ufffd$/, "")}...` // without half a letter
}
