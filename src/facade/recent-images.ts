import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import type { Digest } from "../oci/digest.ts"
import type { Composition } from "./composer.ts"

/** A pull that began on an image may go on this long after the name has moved to another one. */
const RECENT_MS = 60 * 60 * 1000
const MAX_PER_NAME = 20

interface Served {
  readonly composition: Composition
  usedAt: number
}

/** The images that were served under each name in the last hour: what may be read under it. */
export class RecentImages {
  readonly #clock: Clock
  readonly #names = new LRUCache<string, readonly Served[]>({ max: 5000 })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  remember(name: string, composition: Composition): void {
    const now = this.#clock.now()
    const latest = this.#names.get(name)?.[0]
    if (latest?.composition === composition) {
      latest.usedAt = now
      return
    }
    const others = this.#list(name).filter(
      (served) => served.composition.root.descriptor.digest !== composition.root.descriptor.digest,
    )
    this.#names.set(name, [{ composition, usedAt: now }, ...others].slice(0, MAX_PER_NAME))
  }

  /** The latest image of the name for which `has` holds, which counts as use. Null: there is none. */
  find(name: string, has: (composition: Composition) => boolean): Composition | null {
    const served = this.#list(name).find(({ composition }) => has(composition))
    if (served === undefined) return null
    served.usedAt = this.#clock.now()
    return served.composition
  }

  findWith(name: string, digest: Digest): Composition | null {
    return this.find(name, ({ documents, blobs }) => documents.has(digest) || blobs.has(digest))
  }

  #list(name: string): readonly Served[] {
    const oldest = this.#clock.now() - RECENT_MS
    return (this.#names.get(name) ?? []).filter(({ usedAt }) => usedAt >= oldest)
  }
}
