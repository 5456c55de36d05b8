import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import type { Digest } from "../oci/digest.ts"
import type { Attempts } from "./attempts.ts"
import type { BlobSource } from "./blob.ts"
import { IntegrityError } from "./integrity-error.ts"

interface Failed {
  /** Those that were tried. */
  readonly attempts: Attempts
  readonly error: unknown
}

/** Why blobs could not be had a moment ago, so that their sources are not asked again at once. */
export class RecentFailures {
  readonly #clock: Clock
  readonly #holdMs: number
  readonly #failures = new LRUCache<Digest, Failed & { readonly until: number }>({ max: 1000 })

  constructor(clock: Clock, holdMs: number) {
    this.#clock = clock
    this.#holdMs = holdMs
  }

  add(digest: Digest, { attempts, error }: Failed): void {
    this.#failures.set(digest, { attempts, error, until: this.#clock.now() + this.#holdMs })
  }

  /** A failure holds for its own sources, unless it was wrong content and one of them has given none. */
  throwRecent(digest: Digest, sources: readonly BlobSource[], hasTrusted: boolean): void {
    const failure = this.#failures.get(digest)
    if (failure === undefined || failure.until <= this.#clock.now()) return
    if (sources.some((source) => !failure.attempts.knows(source))) return
    if (failure.error instanceof IntegrityError && hasTrusted) return
    throw failure.error
  }
}
