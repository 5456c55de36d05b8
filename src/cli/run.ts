import { startApp } from "../app/app.ts"
import { loadConfig } from "../config/load.ts"
import { readArguments } from "./args.ts"
import type { Command } from "./io.ts"

/** Serves until the process is asked to end; running answers are completed before it does. */
export const run: Command = async (args, { log, shutdown, tuning }) => {
  const { positionals } = readArguments(args, {}, ["config.json"])
  const config = await loadConfig(positionals[0] ?? "")
  const app = await startApp(config, log, tuning)
  log.info("registry facade is up and running", { port: app.registryPort })
  await aborted(shutdown.gentle)
  log.info("shutting down, waiting for running transfers", { graceMs: config.shutdownGraceMs })
  const drained = app.stop(false)
  const late = tuning.clock.sleep(config.shutdownGraceMs, shutdown.forced).catch(() => {})
  await Promise.race([drained, late])
  await app.stop(true)
  return 0
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener("abort", () => resolve(), { once: true })
  await promise
}
