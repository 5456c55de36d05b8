import { configChanges } from "../config/changes.ts"
import { type Config, parseConfig } from "../config/load.ts"
import { WatchedFile } from "../lib/watched-file.ts"
import type { Tools } from "./tools.ts"

/** `keys` are those that differ from what is applied. */
type Apply = (config: Config, keys: readonly string[]) => Promise<void>

/**
 * Watches the file of a configuration and applies what a change of it may change now. One that cannot be used changes
 * nothing. Gives what ends the watching.
 */
export async function followConfig(config: Config, apply: Apply, { log, metrics, tuning }: Tools): Promise<() => void> {
  const path = config.file
  let applied = config
  let latest = config
  let last = Promise.resolve()
  const refuse = (error: unknown) => {
    metrics.configReloads.inc({ result: "failure" })
    log.error("cannot use changed configuration, the old one stays in use", { path, error })
  }
  const change = async (next: Config) => {
    const { live, restart } = configChanges(applied.written, next.written)
    try {
      if (live.length > 0) await apply(next, live)
    } catch (error) {
      return refuse(error)
    }
    applied = next
    metrics.configReloads.inc({ result: "success" })
    log.info("reloading file after change", { path, applied: live })
    if (restart.length > 0) log.warn("changes of the configuration that need a restart", { path, keys: restart })
  }
  const file = await WatchedFile.open({
    path,
    clock: tuning.clock,
    parse: (text) => {
      latest = parseConfig(path, text)
      return latest
    },
    onReload: () => {
      last = last.then(async () => await change(latest))
    },
    onFailure: refuse,
  })
  log.info(`starting watch of file ${path}`)
  const { live, restart } = configChanges(config.written, latest.written)
  if (live.length + restart.length > 0) last = change(latest) // the file has changed since the process has read it
  return () => file.close()
}
