import type { BlobSource } from "../blob/blob.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { formatReference } from "../oci/reference.ts"
import type { Logger } from "../telemetry/log.ts"
import type { StoredReference, TagAnswer, Upstream } from "./upstream.ts"

/** A registry behind its mirrors: they are asked first, in order, but only the registry itself can say that there is nothing. */
export class MirroredUpstream implements Upstream {
  readonly #mirrors: readonly Upstream[]
  readonly #origin: Upstream
  readonly #log: Logger

  constructor(mirrors: readonly Upstream[], origin: Upstream, log: Logger) {
    this.#mirrors = mirrors
    this.#origin = origin
    this.#log = log
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
    return [...this.#mirrors, this.#origin].flatMap((upstream) => upstream.blobs(reference))
  }

  async #first<Result>(
    reference: StoredReference,
    ask: (upstream: Upstream) => Promise<Result | null>,
    signal: AbortSignal,
  ): Promise<Result | null> {
    for (const mirror of this.#mirrors) {
      const answer = await ask(mirror).catch((error) => {
        signal.throwIfAborted()
        this.#log.debug("a mirror fails, asking the next", { reference: formatReference(reference), error })
        return null
      })
      if (answer !== null) return answer
    }
    return await ask(this.#origin)
  }
}

const presence = (answer: TagAnswer): Exclude<TagAnswer, "gone"> | null => (answer === "gone" ? null : answer)
