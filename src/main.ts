import { writeSync } from "node:fs"
import { findCommand } from "./cli/commands.ts"
import { readGlobalFlags } from "./cli/global-flags.ts"
import { UsageError } from "./cli/io.ts"
import { createOutput } from "./cli/output.ts"
import { takeProxySettings } from "./egress/proxy.ts"
import { createLogger, errorText, formatLine } from "./telemetry/log.ts"
import { type Line, LogBuffer } from "./telemetry/log-buffer.ts"
import { type LogLevel, parseLevel } from "./telemetry/log-level.ts"
import { StrayFailures } from "./telemetry/stray-failures.ts"
import { PRODUCTION } from "./tuning.ts"
import { VERSION } from "./version.ts"

/** How long lines are gathered before they are written together. */
const LOG_DELAY_MS = 5
/** How long the end waits for a reader of the log that does not read. */
const LOG_PATIENCE_MS = 2000

const { isJson, isVerbose, rest } = readGlobalFlags(process.argv.slice(2))

const level: LogLevel = { current: isVerbose ? "debug" : (parseLevel(process.env["LOG_LEVEL"] ?? "") ?? "info") }
const loggerOptions = { format: isJson ? "json" : "text", version: VERSION, level: () => level.current } as const
const logBuffer = new LogBuffer({
  sink: (text, taken) => void process.stderr.write(text, () => taken()), // also when nobody reads any more
  soon: (flush) => void setTimeout(flush, LOG_DELAY_MS),
  capacity: 4 * 1024 * 1024,
  lostLine: (lines) => formatLine(loggerOptions, "warn", "log lines were lost, their reader was too slow", { lines }),
})
const write = (line: Line) => logBuffer.write(line)
const log = createLogger({ ...loggerOptions, write, writeLater: write })
// After an orderly end nothing is left; any other end must not take the lines with it that tell why
process.on("exit", () => {
  try {
    log.tellRest()
    writeSync(process.stderr.fd, logBuffer.take())
  } catch {
    // nobody reads any more
  }
})

const gentle = new AbortController()
const forced = new AbortController()
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.on(name, () => (gentle.signal.aborted ? forced.abort() : gentle.abort(new Error(`Stopped by ${name}`))))
}
// A stray rejection must not take running pulls with it
const strays = new StrayFailures({
  log,
  now: () => performance.now(),
  onTooMany: () => gentle.abort(new Error("Too many unexpected failures")),
})
process.on("unhandledRejection", (error) => strays.note("unhandled rejection", error))
process.on("uncaughtException", (error) => strays.note("uncaught exception", error))

const stdout = createOutput(process.stdout)
const stderr = createOutput(process.stderr)
const writeError = (text: string) => {
  logBuffer.flush() // what was logged before stands before it
  stderr.write(text)
}

/** The exit code of the command that the arguments name. */
async function main([name, ...args]: readonly string[]): Promise<number> {
  try {
    const shutdown = { gentle: gentle.signal, forced: forced.signal }
    const tuning = { ...PRODUCTION, proxies: takeProxySettings(process.env) }
    const io = { out: stdout.write, err: writeError, log, level, strays, shutdown, tuning }
    const code = await findCommand(name)(args, io)
    return strays.isTooMany ? Math.max(code, 1) : code
  } catch (error) {
    writeError(`registry-facade: ${errorText(error)}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

const code = await main(rest)
log.tellRest()
await Promise.race([logBuffer.flushed(), Bun.sleep(LOG_PATIENCE_MS)])
await Promise.all([stdout.flushed(), stderr.flushed()])
process.exit(code)
