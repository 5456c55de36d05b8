import type { TlsConfig } from "../config/load.ts"
import type { Listener, ListenOptions } from "../http/server.ts"
import { credentialPaths, dateProblem, parseCredentials, type TlsCredentials } from "../http/tls/credentials.ts"
import { listenRotating, type RotatingListener } from "../http/tls/rotating-listener.ts"
import { WatchedFiles } from "../lib/watched-files.ts"
import type { Prepared } from "./prepared.ts"
import type { Tools } from "./tools.ts"

type PortOptions = Omit<ListenOptions, "credentials">

/** The registry's port: plain HTTP, or TLS with a certificate that follows its files. Which of them, a change may say. */
export class RegistryPort implements Listener {
  readonly #tools: Tools
  readonly #listener: RotatingListener
  #certificate: Certificate | null

  private constructor(tools: Tools, listener: RotatingListener, certificate: Certificate | null) {
    this.#tools = tools
    this.#listener = listener
    this.#certificate = certificate
    certificate?.use((credentials) => listener.rotate(credentials))
  }

  /** `tls` null: plain HTTP. Rejects when the certificate, or the port, cannot be used. */
  static async open(tls: TlsConfig | null, options: PortOptions, tools: Tools): Promise<RegistryPort> {
    const { clock, tls: patience } = tools.tuning
    const certificate = tls === null ? null : await Certificate.open(tls, tools, null)
    const credentials = certificate?.credentials ?? null
    try {
      const listener = listenRotating({ ...options, ...patience, clock, credentials })
      return new RegistryPort(tools, listener, certificate)
    } catch (error) {
      certificate?.close()
      throw error
    }
  }

  get port(): number {
    return this.#listener.port
  }

  /** Rejects, and nothing has changed, when the certificate cannot be used. */
  async prepare(tls: TlsConfig | null): Promise<Prepared> {
    const next = tls === null ? null : await Certificate.open(tls, this.#tools, this.#certificate?.credentials ?? null)
    return { apply: () => this.#replace(next), discard: () => next?.close() }
  }

  closeIdle(): number {
    return this.#listener.closeIdle()
  }

  retire(): void {
    this.#listener.retire()
  }

  async stop(isForced: boolean): Promise<void> {
    this.#certificate?.close()
    await this.#listener.stop(isForced)
  }

  #replace(next: Certificate | null): void {
    const { log, metrics } = this.#tools
    const old = this.#certificate
    old?.close()
    this.#certificate = next
    next?.use((credentials) => this.#listener.rotate(credentials))
    this.#listener.rotate(next?.credentials ?? null)
    if (next === null) metrics.tlsExpiry.remove(LABEL)
    if ((old === null) === (next === null)) return
    log.info("the port of the registry has changed its protocol", { scheme: next === null ? "http" : "https" })
  }
}

const LABEL = { listener: "registry" } as const

/** The files of a certificate, followed. */
class Certificate {
  readonly #tls: TlsConfig
  readonly #tools: Tools
  readonly #files: WatchedFiles<TlsCredentials>
  #onChange: ((credentials: TlsCredentials) => void) | null = null

  private constructor(tls: TlsConfig, tools: Tools, files: WatchedFiles<TlsCredentials>) {
    this.#tls = tls
    this.#tools = tools
    this.#files = files
  }

  /** `before` is what clients are shown now, if anything. Rejects when the files cannot be used. */
  static async open(tls: TlsConfig, tools: Tools, before: TlsCredentials | null): Promise<Certificate> {
    const { log, metrics, tuning } = tools
    let certificate: Certificate | null = null
    const onReload = (credentials: TlsCredentials) => {
      if (certificate !== null) certificate.#reloaded(credentials)
    }
    const files = await WatchedFiles.open({
      paths: credentialPaths(tls),
      clock: tuning.clock,
      parse: (texts) => usable(tls, parseCredentials(tls, texts), certificate?.credentials ?? before),
      looksBeforeFailure: 2,
      onReload,
      onFailure: (error) => {
        metrics.configReloads.inc({ result: "failure" })
        log.error("cannot use changed certificate, the old one stays in use", { path: tls.crt, error })
      },
    })
    certificate = new Certificate(tls, tools, files)
    return certificate
  }

  get credentials(): TlsCredentials {
    return this.#files.latest
  }

  /** Clients are shown it from now on; `onChange` is told when it changes. */
  use(onChange: (credentials: TlsCredentials) => void): void {
    this.#onChange = onChange
    this.#report(this.credentials)
  }

  close(): void {
    this.#onChange = null // files that are being read now make no difference any more
    this.#files.close()
  }

  #reloaded(credentials: TlsCredentials): void {
    if (this.#onChange === null) return // nobody is shown it so far
    const { subject, notAfter } = credentials
    this.#tools.metrics.configReloads.inc({ result: "success" })
    const facts = { path: this.#tls.crt, subject, expires: new Date(notAfter) }
    this.#tools.log.info("reloading certificate after change", facts)
    this.#report(credentials)
    this.#onChange(credentials)
  }

  #report(credentials: TlsCredentials): void {
    const { log, metrics } = this.#tools
    metrics.tlsExpiry.set(LABEL, Math.floor(credentials.notAfter / 1000))
    const problem = dateProblem(credentials, Date.now())
    if (problem !== null) log.warn("clients will refuse this certificate", { path: this.#tls.crt, problem })
  }
}

/** Throws where clients would refuse these and accept the old ones. At the start there is nothing better to use. */
function usable({ crt }: TlsConfig, credentials: TlsCredentials, inUse: TlsCredentials | null): TlsCredentials {
  const problem = dateProblem(credentials, Date.now())
  if (problem !== null && inUse !== null && dateProblem(inUse, Date.now()) === null)
    throw new Error(`Cannot use ${crt}: ${problem}`)
  return credentials
}
