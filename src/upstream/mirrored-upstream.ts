import type { BlobSource } from "../blob/blob.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { formatReference } from "../oci/reference.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { StoredReference, TagAnswer, Upstream } from "./upstream.ts"

export interface Mirror {
  readonly host: string
  readonly upstream: Upstream
}

interface Telling {
  readonly log: Logger
  readonly metrics: Metrics
}

/** A registry behind its mirrors: they are asked first, in order, but only the registry itself can say that there is nothing. */
export class MirroredUpstream implements Upstream {
  readonly #mirrors: readonly Mirror[]
  readonly #origin: Upstream
  readonly #telling: Telling

  constructor(mirrors: readonly Mirror[], origin: Upstream, telling: Telling) {
    this.#mirrors = mirrors
    this.#origin = origin
    this.#telling = telling
  }

  async resolve(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob | null> {
    return await this.#first(reference, (upstream) => upstream.resolve(reference, signal), signal)
  }

  async manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob | null> {
    return await this.#first(reference, (upstream) => upstream.manifest(reference, digest, signal), signal)
  }

  async head(reference: StoredReference, signal: AbortSignal): Promise<TagAnswer> {
    const answer = await this.#first(
      reference,
      async (upstream) => presence(await upstream.head(reference, signal)),
      signal,
    )
    return answer ?? "gone"
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    return [...this.#mirrors.map(({ upstream }) => upstream), this.#origin].flatMap((upstream) =>
      upstream.blobs(reference),
    )
  }

  async #first<Result>(
    reference: StoredReference,
    ask: (upstream: Upstream) => Promise<Result | null>,
    signal: AbortSignal,
  ): Promise<Result | null> {
    const { log, metrics } = this.#telling
    for (const { host, upstream } of this.#mirrors) {
      const answer = await ask(upstream).catch((error) => {
        signal.throwIfAborted()
        metrics.mirrorFailures.inc({ host })
        log.warn(
          "a mirror fails, the next one is asked",
          { mirror: host, reference: formatReference(reference), error },
          host,
        )
        return null
      })
      if (answer !== null) return answer
    }
    return await ask(this.#origin)
  }
}

const presence = (answer: TagAnswer): Exclude<TagAnswer, "gone"> | null => (answer === "gone" ? null : answer)
