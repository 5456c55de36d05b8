import type { BlobSource } from "../blob/blob.ts"
import { type RetryPolicy, retry } from "../lib/retry.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import type { StoredReference, TagAnswer, Upstream } from "./upstream.ts"

/** Milliseconds to wait before asking an upstream again; null where its answer is final, or it asks for too much. */
export const upstreamWaitMs =
  (patienceMs: number) =>
  (error: unknown): number | null => {
    if (!(error instanceof RegistryError) || error.askedMs > patienceMs) return null
    // A document that is none may be a login page or a proxy's excuse, which pass as well
    return error.mayPass || error.code === "MANIFEST_INVALID" ? error.askedMs : null
  }

/** Asks again for documents when the upstream fails for a reason that passes. Blobs have a transfer of their own. */
export class RetryingUpstream implements Upstream {
  readonly #upstream: Upstream
  readonly #policy: RetryPolicy

  constructor(upstream: Upstream, policy: RetryPolicy) {
    this.#upstream = upstream
    this.#policy = policy
  }

  async resolve(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob | null> {
    return await retry(() => this.#upstream.resolve(reference, signal), this.#policy, signal)
  }

  async head(reference: StoredReference, signal: AbortSignal): Promise<TagAnswer> {
    return await retry(() => this.#upstream.head(reference, signal), this.#policy, signal)
  }

  async manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob | null> {
    return await retry(() => this.#upstream.manifest(reference, digest, signal), this.#policy, signal)
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    return this.#upstream.blobs(reference)
  }
}
