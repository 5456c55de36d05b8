import type { FileQuery, Files } from "../blobserve/files.ts"
import type { BlobserveConfig } from "../config/blobserve.ts"
import { isDigest } from "../oci/digest.ts"
import type { Platform } from "../oci/platform.ts"
import { errorText } from "../telemetry/log.ts"
import { imageNamed } from "./repositories.ts"
import type { Tools } from "./tools.ts"

export interface PrePullOptions {
  readonly files: Files
  readonly tools: Tools
}

const CONDITION = "images to serve files of"

interface Wanted {
  readonly name: string
  readonly query: FileQuery
}

/**
 * Reads what `prePull` lists, as often as it takes. Until that is done for the first time the process is not ready; what a
 * changed configuration wants is read while it serves.
 */
export class PrePulls {
  readonly #options: PrePullOptions
  readonly #background: AbortSignal
  #replaced = new AbortController()
  #isReady = false

  constructor(options: PrePullOptions, background: AbortSignal) {
    this.#options = options
    this.#background = background
  }

  /** In place of what an earlier configuration wanted. */
  follow(config: BlobserveConfig, platform: Platform): void {
    this.#replaced.abort()
    this.#replaced = new AbortController()
    const wanted = wantedOf(config, platform)
    if (wanted.length === 0) this.#options.tools.readiness.remove(CONDITION)
    else this.#tell(`${wanted.length} to be read, see "prePull"`)
    void this.#readAll(wanted, AbortSignal.any([this.#background, this.#replaced.signal]))
  }

  /** Never rejects. */
  async #readAll(wanted: readonly Wanted[], signal: AbortSignal): Promise<void> {
    for (const one of wanted) await this.#read(one, signal)
    if (signal.aborted) return
    if (wanted.length > 0) this.#options.tools.readiness.ok(CONDITION)
    this.#isReady = true
  }

  async #read({ name, query }: Wanted, signal: AbortSignal): Promise<void> {
    const { files, tools } = this.#options
    const { clock, files: limits } = tools.tuning
    while (!signal.aborted) {
      try {
        await files.indexes(query, signal)
        tools.log.info("image is ready for serving its files", { image: name })
        return
      } catch (error) {
        if (signal.aborted) return
        this.#tell(`${name} cannot be read, trying again: ${errorText(error)}`)
        await clock.sleep(limits.prePullRetryMs, signal).catch(() => {})
      }
    }
  }

  #tell(reason: string): void {
    const { readiness } = this.#options.tools
    if (this.#isReady) readiness.degraded(CONDITION, reason)
    else readiness.failed(CONDITION, reason)
  }
}

const wantedOf = (config: BlobserveConfig, platform: Platform): readonly Wanted[] =>
  [...config.repos].flatMap(([repository, { layers, prePull }]) =>
    prePull.map((version) => {
      const named = isDigest(version) ? { tag: null, digest: version } : { tag: version, digest: null }
      const query = { image: imageNamed(config, { repository, ...named }), layers, platform }
      return { name: `${repository} ${version}`, query }
    }),
  )
