import type { BlobSource } from "../blob/blob.ts"
import { type RetryPolicy, retry } from "../lib/retry.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import type { StoredReference, Upstream } from "./upstream.ts"

/** How long a request waits for an upstream that says how long. */
const PATIENCE_MS = 10_000

/** Milliseconds to wait before asking an upstream again; null where its answer is final. */
export function upstreamWaitMs(error: unknown): number | null {
  if (!(error instanceof RegistryError)) return null
  if (error.code !== "UNAVAILABLE" && error.code !== "TOOMANYREQUESTS") return null
  // Where there was no answer, the time is a hint of ours for clients and not what the upstream asked for
  const asked = error.cause === undefined ? (error.retryAfterSeconds ?? 0) * 1000 : 0
  return asked > PATIENCE_MS ? null : asked
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

  async manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob | null> {
    return await retry(() => this.#upstream.manifest(reference, digest, signal), this.#policy, signal)
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    return this.#upstream.blobs(reference)
  }
}
