import type { TlsConfig } from "../config/load.ts"
import type { Listener, ListenOptions } from "../http/server.ts"
import { credentialPaths, dateProblem, parseCredentials, type TlsCredentials } from "../http/tls/credentials.ts"
import { listenTls } from "../http/tls/rotating-listener.ts"
import { WatchedFiles } from "../lib/watched-files.ts"
import type { Tools } from "./tools.ts"

/** A port whose certificate follows its files. Rejects when these, or the port, cannot be used. */
export async function openTlsPort(tls: TlsConfig, options: ListenOptions, tools: Tools): Promise<Listener> {
  const { clock, tls: patience } = tools.tuning
  const rotated: { rotate(credentials: TlsCredentials): void }[] = []
  const files = await watchCredentials(tls, tools, (credentials) => {
    for (const listener of rotated) listener.rotate(credentials)
  })
  try {
    const listener = listenTls({ ...options, ...patience, clock, credentials: files.latest })
    rotated.push(listener)
    const stop = async (isForced: boolean) => {
      files.close()
      await listener.stop(isForced)
    }
    return { port: listener.port, retire: () => listener.retire(), stop }
  } catch (error) {
    files.close()
    throw error
  }
}

async function watchCredentials(
  tls: TlsConfig,
  { log, metrics, tuning }: Tools,
  onChange: (credentials: TlsCredentials) => void,
): Promise<WatchedFiles<TlsCredentials>> {
  let inUse: TlsCredentials | null = null
  const take = (credentials: TlsCredentials) => {
    inUse = credentials
    metrics.tlsExpiry.set({ listener: "registry" }, Math.floor(credentials.notAfter / 1000))
    const problem = dateProblem(credentials, Date.now())
    if (problem !== null) log.warn("clients will refuse this certificate", { path: tls.crt, problem })
  }
  const files = await WatchedFiles.open({
    paths: credentialPaths(tls),
    clock: tuning.clock,
    parse: (texts) => usable(tls, parseCredentials(tls, texts), inUse),
    looksBeforeFailure: 2,
    onReload: (credentials) => {
      const { subject, notAfter } = credentials
      metrics.configReloads.inc({ result: "success" })
      log.info("reloading certificate after change", { path: tls.crt, subject, expires: new Date(notAfter) })
      take(credentials)
      onChange(credentials)
    },
    onFailure: (error) => {
      metrics.configReloads.inc({ result: "failure" })
      log.error("cannot use changed certificate, the old one stays in use", { path: tls.crt, error })
    },
  })
  take(files.latest)
  return files
}

/** Throws where clients would refuse these and accept the old ones. At the start there is nothing better to use. */
function usable({ crt }: TlsConfig, credentials: TlsCredentials, inUse: TlsCredentials | null): TlsCredentials {
  const problem = dateProblem(credentials, Date.now())
  if (problem !== null && inUse !== null && dateProblem(inUse, Date.now()) === null)
    throw new Error(`Cannot use ${crt}: ${problem}`)
  return credentials
}
