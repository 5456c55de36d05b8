import { LRUCache } from "lru-cache"
import type { KeyValue } from "../lib/key-value.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { formatLocation, formatReference, type Trust } from "../oci/reference.ts"
import type { DocumentStore } from "../store/store.ts"
import type { StoredReference, Upstream } from "../upstream/upstream.ts"

export interface OwnershipOptions {
  readonly upstreams: () => Readonly<Record<Trust, Upstream>>
  readonly documents: DocumentStore
  /** What was found out before, also by earlier processes. */
  readonly facts: KeyValue
}

/**
 * Whether a repository has a manifest. Documents are kept by their digest alone: that one is here, because of another
 * repository's image, is no reason to show it to those who may read this one.
 */
export class Ownership {
  readonly #options: OwnershipOptions
  readonly #known = new LRUCache<string, true>({ max: 10_000 })

  constructor(options: OwnershipOptions) {
    this.#options = options
  }

  /** Rejects MANIFEST_UNKNOWN when it has not, and as the upstream does when that cannot be told. */
  async check(reference: StoredReference, digest: Digest, trust: Trust, signal: AbortSignal): Promise<void> {
    const key = `${formatLocation(reference)}@${digest}`
    if (this.#known.has(key)) return
    if ((await this.#options.facts.get(key)) === null) {
      const manifest = await this.#options.upstreams()[trust].manifest(reference, digest, signal)
      if (manifest === null)
        throw new RegistryError(
          "MANIFEST_UNKNOWN",
          `Cannot find image ${formatReference(reference)}: there is no such image`,
        )
      await this.#options.documents.put(manifest)
      await this.#options.facts.set(key, "yes")
    }
    this.#known.set(key, true)
  }
}
