import { type ConfigChanges, configChanges, isOfPort } from "../config/changes.ts"
import { keepClosed } from "../config/keep-closed.ts"
import { type Config, imageSettings, parseConfig } from "../config/load.ts"
import { namedFiles } from "../config/named-files.ts"
import { identifyFile } from "../lib/file-identity.ts"
import { WatchedFile } from "../lib/watched-file.ts"
import { errorText, type Logger } from "../telemetry/log.ts"
import type { Tools } from "./tools.ts"

/** How soon it is noticed that a file is there which a configuration was refused for. */
const LOOK_MS = 1000

/** `keys` are those that differ from what is applied. It may take its time until `signal` says that another is wanted. */
type Apply = (config: Config, keys: readonly string[], signal: AbortSignal) => Promise<void>

/**
 * Watches the file of a configuration and applies what a change of it may change now. One that cannot be used changes
 * nothing, and is tried again when a file that it names has changed. Gives what ends the watching.
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
  const stop = new AbortController()
  let latestWanted = new AbortController()
  const change = async (changed: Config, signal: AbortSignal) => {
    const next = keepClosed(applied, changed)
    const { live, restart } = configChanges(applied.written, next.written)
    const files = identifyNamed(next)
    try {
      if (live.length > 0) await apply(next, live, AbortSignal.any([signal, stop.signal]))
    } catch (error) {
      if (signal.aborted || stop.signal.aborted) return
      void retry(changed, files)
      return refuse(error)
    }
    applied = next
    metrics.configReloads.inc({ result: "success" })
    log.info("reloading file after change", { path, applied: live })
    tellWaiting(restart, configChanges(next.written, changed.written), { log, path })
  }
  /** After those before it, which are no longer waited for. */
  const follow = (next: Config) => {
    latestWanted.abort(new Error("The configuration has changed again"))
    latestWanted = new AbortController()
    const { signal } = latestWanted
    last = last.then(async () => await change(next, signal))
  }
  /** Until another configuration takes the place of the one that was refused. */
  const retry = async (refused: Config, files: string) => {
    while (!stop.signal.aborted && latest === refused) {
      await tuning.clock.sleep(LOOK_MS, stop.signal).catch(() => {})
      if (stop.signal.aborted || latest !== refused || identifyNamed(keepClosed(applied, refused)) === files) continue
      return follow(refused)
    }
  }
  const file = await WatchedFile.open({
    path,
    clock: tuning.clock,
    parse: (text) => {
      latest = parseConfig(path, text)
      return latest
    },
    onReload: () => follow(latest),
    onFailure: refuse,
  })
  log.info(`starting watch of file ${path}`)
  const { live, restart } = configChanges(config.written, latest.written)
  if (live.length + restart.length > 0) follow(latest) // the file has changed since the process has read it
  return () => {
    stop.abort()
    file.close()
  }
}

/** Of what has changed: what needs a restart, and what only a restart may open. */
function tellWaiting(
  restart: readonly string[],
  held: ConfigChanges,
  { log, path }: { readonly log: Logger; readonly path: string },
): void {
  const kept = [...held.live, ...held.restart]
  const closed = kept.filter(isOfPort)
  if (closed.length > 0) log.warn("nothing opens the registry but a restart, it stays closed", { path, keys: closed })
  const keys = [...restart, ...kept].toSorted()
  if (keys.length > 0) log.warn("changes of the configuration that need a restart", { path, keys })
}

/** Tells one state of the files that a configuration names from another. */
function identifyNamed(config: Config): string {
  const paths = namedFiles(imageSettings(config))
  return paths.map((path) => `${path} ${stateOf(path)}`).join("\n")
}

function stateOf(path: string): string {
  try {
    return identifyFile(path)?.text ?? "missing"
  } catch (error) {
    return errorText(error) // such as a directory that we may not enter
  }
}
