import { findCommand } from "./cli/commands.ts"
import { readGlobalFlags } from "./cli/global-flags.ts"
import { UsageError } from "./cli/io.ts"
import { createOutput } from "./cli/output.ts"
import { takeProxySettings } from "./egress/proxy.ts"
import { createLogger, errorText } from "./telemetry/log.ts"
import { type LogLevel, parseLevel } from "./telemetry/log-level.ts"
import { PRODUCTION } from "./tuning.ts"
import { VERSION } from "./version.ts"

const { isJson, isVerbose, rest } = readGlobalFlags(process.argv.slice(2))

const level: LogLevel = { current: isVerbose ? "debug" : (parseLevel(process.env["LOG_LEVEL"] ?? "") ?? "info") }
const log = createLogger({
  format: isJson ? "json" : "text",
  version: VERSION,
  level: () => level.current,
  write: (line) => void process.stderr.write(line),
})

const gentle = new AbortController()
const forced = new AbortController()
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.on(name, () => (gentle.signal.aborted ? forced.abort() : gentle.abort(new Error(`Stopped by ${name}`))))
}
// A stray rejection must not take running pulls with it
process.on("unhandledRejection", (error) =>
  log.error("unhandled rejection", { error, stack: error instanceof Error ? error.stack : null }),
)
process.on("uncaughtException", (error) => log.error("uncaught exception", { error, stack: error.stack }))

const stdout = createOutput(process.stdout)
const stderr = createOutput(process.stderr)

/** The exit code of the command that the arguments name. */
async function main([name, ...args]: readonly string[]): Promise<number> {
  try {
    const shutdown = { gentle: gentle.signal, forced: forced.signal }
    const tuning = { ...PRODUCTION, proxies: takeProxySettings(process.env) }
    return await findCommand(name)(args, { out: stdout.write, err: stderr.write, log, level, shutdown, tuning })
  } catch (error) {
    stderr.write(`registry-facade: ${errorText(error)}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

const code = await main(rest)
await Promise.all([stdout.flushed(), stderr.flushed()])
process.exit(code)
