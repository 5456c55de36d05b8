import type { Clock } from "../lib/clock.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { passingCulprit } from "../oci/error.ts"
import type { SourceName } from "../telemetry/labels.ts"
import { errorText, type Fields, type Logger } from "../telemetry/log.ts"
import type { BlobSource } from "./blob.ts"
import { isAbandonment } from "./transfer-error.ts"

export interface TransferOptions {
  readonly log: Logger
  readonly clock: Clock
}

/** Content that is made here, or lies here: nobody waits for a network because of it. */
const LOCAL: ReadonlySet<SourceName> = new Set(["disk", "config", "static", "content"])

/** What the transfer of one blob took, for the one line that tells of it: slow registries are found by it. */
export class Transfer {
  readonly #descriptor: Descriptor
  readonly #options: TransferOptions
  readonly #startedAt: number
  readonly #sources = new Map<string, SourceName>()
  #bytes = 0
  #resumes = 0

  constructor(descriptor: Descriptor, options: TransferOptions) {
    this.#descriptor = descriptor
    this.#options = options
    this.#startedAt = options.clock.now()
  }

  took({ name, origin }: BlobSource, bytes: number): void {
    this.#sources.set(origin, name)
    this.#bytes += bytes
  }

  resumed({ name, origin }: BlobSource, offset: number): void {
    this.#resumes += 1
    const { digest } = this.#descriptor
    this.#options.log.warn(
      "retry get blob because of streaming error",
      { digest, blobSource: name, origin, offset },
      origin,
    )
  }

  /** One attempt at one source; others may follow. */
  failed({ name, origin }: BlobSource, error: unknown): void {
    const { digest } = this.#descriptor
    const fields = { digest, blobSource: name, origin, error: errorText(error) }
    this.#options.log.warn("error fetching blob from source, retrying...", fields, origin)
  }

  /** `error` null: the blob is complete and verified. */
  end(error: unknown): void {
    const { log } = this.#options
    const isLocal = [...this.#sources.values()].every((name) => LOCAL.has(name))
    if (error === null) log[isLocal ? "debug" : "info"]("transfer complete", this.#fields())
    else if (isAbandonment(error)) log.info("transfer given up, nobody reads it any more", this.#fields())
    else log.error("unable to retrieve blob", { ...this.#fields(), error: errorText(error) }, passingCulprit(error))
  }

  #fields(): Fields {
    const seconds = Math.max(this.#options.clock.now() - this.#startedAt, 0.1) / 1000
    return {
      digest: this.#descriptor.digest,
      src: [...new Set(this.#sources.values())].join(","),
      origin: [...this.#sources.keys()].join(","),
      bytes: this.#bytes,
      seconds: rounded(seconds),
      mbPerSecond: rounded(this.#bytes / 1e6 / seconds),
      resumes: this.#resumes,
    }
  }
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000
