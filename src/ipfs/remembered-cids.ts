import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import type { Digest } from "../oci/digest.ts"
import type { Cid } from "./cid.ts"

const MAX_ENTRIES = 10_000

/** What was found out about a CID as that of a blob, for a while. */
export class RememberedCids {
  readonly #clock: Clock
  readonly #forMs: number
  /** `digest cid` to the time until which it holds. */
  readonly #until = new LRUCache<string, number>({ max: MAX_ENTRIES })

  constructor(clock: Clock, forMs: number) {
    this.#clock = clock
    this.#forMs = forMs
  }

  add(digest: Digest, cid: Cid): void {
    this.#until.set(`${digest} ${cid}`, this.#clock.now() + this.#forMs)
  }

  has(digest: Digest, cid: Cid): boolean {
    return (this.#until.get(`${digest} ${cid}`) ?? 0) > this.#clock.now()
  }
}
