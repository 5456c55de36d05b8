import { LRUCache } from "lru-cache"
import type { KeyValue } from "../lib/key-value.ts"
import type { Digest } from "../oci/digest.ts"
import { type Cid, parseCid } from "./cid.ts"
import type { CidEntry, CidIndex } from "./cid-index.ts"

const MAX_KNOWN = 50_000

/** What this node knows of CIDs, in memory and on its disk, before what all nodes know. */
export class KnownCids implements CidIndex {
  readonly #known = new LRUCache<Digest, Cid>({ max: MAX_KNOWN })
  readonly #facts: KeyValue
  readonly #shared: CidIndex | null

  /** `shared` is null where this node is alone. */
  constructor(facts: KeyValue, shared: CidIndex | null) {
    this.#facts = facts
    this.#shared = shared
  }

  async find(digest: Digest): Promise<Cid | null> {
    const known = this.#known.get(digest)
    if (known !== undefined) return known
    const cid = (await this.#shared?.find(digest)) ?? parseCid((await this.#facts.get(digest)) ?? "")
    if (cid !== null) this.#known.set(digest, cid)
    return cid
  }

  async put(entry: CidEntry): Promise<void> {
    this.#known.set(entry.digest, entry.cid)
    await this.#facts.set(entry.digest, entry.cid)
    await this.#shared?.put(entry)
  }

  async drop(digest: Digest, cid: Cid): Promise<void> {
    if (this.#known.get(digest) === cid) this.#known.delete(digest)
    if ((await this.#facts.get(digest)) === cid) await this.#facts.set(digest, "")
    await this.#shared?.drop(digest, cid)
  }
}
