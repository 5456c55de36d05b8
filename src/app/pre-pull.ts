import type { FileQuery, Files } from "../blobserve/files.ts"
import type { BlobserveConfig } from "../config/blobserve.ts"
import { Semaphore } from "../lib/semaphore.ts"
import { isDigest } from "../oci/digest.ts"
import { passingCulprit, RegistryError } from "../oci/error.ts"
import type { Platform } from "../oci/platform.ts"
import { errorText } from "../telemetry/log.ts"
import { imageNamed } from "./repositories.ts"
import type { Tools } from "./tools.ts"

export interface PrePullOptions {
  readonly files: Files
  readonly tools: Tools
}

/** Images that are read at the same time. */
const CONCURRENCY = 8
const CONDITION = "images to serve files of"

interface Wanted {
  readonly name: string
  readonly query: FileQuery
}

interface Failure {
  readonly reason: string
  /** True for one like that of a registry which is away for a moment. */
  readonly mayPass: boolean
}

/** What is not read yet, by name, and why the last attempt failed; null while the first is under way. */
type Unread = Map<string, Failure | null>

/**
 * Reads what `prePull` lists, as often as it takes. At the start the process is not ready while images are read for the
 * first time, or fail for reasons that may pass soon; one that is gone keeps none of the others from being served. What
 * a changed configuration wants is read while the process serves.
 */
export class PrePulls {
  readonly #options: PrePullOptions
  readonly #background: AbortSignal
  readonly #patientUntil: number
  readonly #turns = new Semaphore(CONCURRENCY)
  #replaced = new AbortController()
  #isPatient = true
  #isReady = false

  constructor(options: PrePullOptions, background: AbortSignal) {
    this.#options = options
    this.#background = background
    const { clock, files: limits } = options.tools.tuning
    this.#patientUntil = clock.now() + limits.prePullPatienceMs
  }

  /** In place of what an earlier configuration wanted. */
  follow(config: BlobserveConfig, platform: Platform): void {
    this.#replaced.abort()
    this.#replaced = new AbortController()
    const wanted = wantedOf(config, platform)
    if (wanted.length === 0) {
      this.#isReady = true
      this.#options.tools.readiness.remove(CONDITION)
      return
    }
    const unread: Unread = new Map(wanted.map(({ name }) => [name, null]))
    const signal = AbortSignal.any([this.#background, this.#replaced.signal])
    this.#tell(unread)
    for (const one of wanted) void this.#read(one, unread, signal)
    void this.#endPatience(unread, signal)
  }

  /** Never rejects. */
  async #read({ name, query }: Wanted, unread: Unread, signal: AbortSignal): Promise<void> {
    const { files, tools } = this.#options
    const { clock, files: limits } = tools.tuning
    while (!signal.aborted) {
      try {
        await this.#inTurn(signal, async () => await files.indexes(query, signal, async () => {}))
        if (signal.aborted) return
        tools.log.info("image is ready for serving its files", { image: name })
        unread.delete(name)
        this.#tell(unread)
        return
      } catch (error) {
        if (signal.aborted) return
        this.#failed(name, unread, error)
        await clock.sleep(limits.prePullRetryMs, signal).catch(() => {})
      }
    }
  }

  /** An image holds all that is read of it until its last layer is there, and clients want their turn, too. */
  async #inTurn(signal: AbortSignal, read: () => Promise<void>): Promise<void> {
    const release = await this.#turns.acquire(signal)
    await read().finally(release)
  }

  #failed(name: string, unread: Unread, error: unknown): void {
    if (unread.get(name) === null) {
      const message = "cannot read image for serving its files, trying again"
      this.#options.tools.log.warn(message, { image: name, error }, passingCulprit(error))
    }
    const mayPass = !(error instanceof RegistryError) || error.mayPass
    unread.set(name, { reason: `${name} cannot be read, trying again: ${errorText(error)}`, mayPass })
    this.#tell(unread)
  }

  /** Never rejects. */
  async #endPatience(unread: Unread, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options.tools.tuning
    await clock.sleep(Math.max(0, this.#patientUntil - clock.now()), signal).catch(() => {})
    if (signal.aborted) return
    this.#isPatient = false
    this.#tell(unread)
  }

  #tell(unread: Unread): void {
    const { readiness } = this.#options.tools
    const all = [...unread.values()]
    const failures = all.filter((failure) => failure !== null)
    const awaited = all.filter((failure) => failure === null || (failure.mayPass && this.#isPatient))
    this.#isReady ||= awaited.length === 0
    const open = all.length - failures.length
    const reasons = failures.map(({ reason }) => reason)
    const reason = [...(open > 0 ? [`${open} to be read, see "prePull"`] : []), ...reasons].join("; ")
    if (unread.size === 0) readiness.ok(CONDITION)
    else if (this.#isReady) readiness.degraded(CONDITION, reason)
    else if (failures.length > 0) readiness.failed(CONDITION, reason)
    else readiness.pending(CONDITION, reason)
  }
}

const wantedOf = (config: BlobserveConfig, platform: Platform): readonly Wanted[] =>
  [...config.repos].flatMap(([repository, { layers, prePull }]) =>
    [...new Set(prePull)].map((version) => {
      const named = isDigest(version) ? { tag: null, digest: version } : { tag: version, digest: null }
      const query = { image: imageNamed(config, { repository, ...named }), layers, platform }
      return { name: `${repository} ${version}`, query }
    }),
  )
