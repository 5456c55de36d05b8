import { type RunningApp, startApp } from "../app/app.ts"
import { loadConfig } from "../config/load.ts"
import { widenThreadPool } from "../lib/thread-pool.ts"
import { readArguments } from "./args.ts"
import type { Command, CommandIO } from "./io.ts"

const OPTIONS = { "share-ports": { type: "boolean", default: false } } as const

/** More than the files that a disk confirms at the same time, slow as it may be. */
const POOL_THREADS = 16

/** Serves until the process is asked to end; running answers are completed before it does. */
export const run: Command = async (args, io) => {
  const { values, positionals } = readArguments(args, OPTIONS, ["config.json"])
  const { level, log, shutdown, strays, tuning } = io
  widenThreadPool(Math.max(POOL_THREADS, navigator.hardwareConcurrency))
  const config = await loadConfig(positionals[0] ?? "")
  const mayShare = values["share-ports"]
  const app = await startApp(config, { log, tuning, level, strays, mayShare, isFollowing: true })
  log.info("🏪 registry facade is up and running", { port: app.registryPort })
  await aborted(shutdown.gentle)
  await shutDown(app, io)
  return 0
}

/**
 * Not ready at once, so that others stop sending requests here; still answering for a while, because they take their
 * time to notice; then no new connections, until running transfers are complete. A second signal cuts all of this short.
 */
async function shutDown(app: RunningApp, { log, shutdown, tuning }: CommandIO): Promise<void> {
  const { shutdownDelayMs, shutdownGraceMs } = app.config
  const wait = async (ms: number) => await tuning.clock.sleep(ms, shutdown.forced).catch(() => {})
  app.retire()
  log.info("shutting down, not ready any more", { delayMs: shutdownDelayMs, graceMs: shutdownGraceMs })
  await wait(shutdownDelayMs)
  log.info("accepting no new connections, waiting for running transfers")
  const drained = app.stop(false).then(() => true)
  const isDrained = await Promise.race([drained, wait(shutdownGraceMs).then(() => false)])
  if (isDrained) return log.info("all transfers are complete")
  log.warn("cutting running transfers off", { reason: shutdown.forced.aborted ? "second signal" : "grace is over" })
  await Promise.race([app.stop(true), tuning.clock.sleep(tuning.shutdown.cutMs)])
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  const { promise, resolve } = Promise.withResolvers<void>()
  signal.addEventListener("abort", () => resolve(), { once: true })
  await promise
}
