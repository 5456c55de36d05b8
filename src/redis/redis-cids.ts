import { type Cid, parseCid } from "../ipfs/cid.ts"
import type { CidEntry, CidIndex } from "../ipfs/cid-index.ts"
import type { Digest } from "../oci/digest.ts"
import type { SharedRedis } from "./redis.ts"

const DAY_MS = 86_400_000
const KEPT_MS = 14 * DAY_MS

/** What is longer is no CID, and not fetched: anybody may have written anything. */
const MAX_TEXT = 256

/** Deletes the entry only if it still is the wrong one, so that a right one written meanwhile stays. */
const DROP = "if redis.call('HGET', KEYS[1], 'c') == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
const DROP_TEXT = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"

/**
 * Which blobs have been added by any node: one hash per digest that expires when nobody uses it, and beside it the two
 * keys of the original, `<digest>` and `mtype:<digest>`, so that a mixed fleet shares what it has.
 */
export class RedisCids implements CidIndex {
  readonly #redis: SharedRedis

  constructor(redis: SharedRedis) {
    this.#redis = redis
  }

  async find(digest: Digest): Promise<Cid | null> {
    const key = this.#key(digest)
    const own = await this.#redis.ask(async (client) =>
      (await client.hstrlen(key, "c")) > MAX_TEXT ? null : await client.hget(key, "c"),
    )
    const cid = parseCid(own ?? "")
    if (cid !== null) {
      void this.#redis.ask((client) => client.pexpire(key, KEPT_MS))
      return cid
    }
    const original = `${this.#redis.prefix}${digest}`
    return parseCid((await this.#redis.ask((client) => client.getrange(original, 0, MAX_TEXT))) ?? "")
  }

  async put({ cid, digest, mediaType, size }: CidEntry): Promise<void> {
    const key = this.#key(digest)
    const { prefix } = this.#redis
    await this.#redis.ask(async (client) => {
      await client.hset(key, { c: cid, s: String(size), m: mediaType })
      await client.pexpire(key, KEPT_MS)
      await client.set(`${prefix}${digest}`, cid, "PX", KEPT_MS)
      await client.set(`${prefix}mtype:${digest}`, mediaType, "PX", KEPT_MS)
    })
  }

  async drop(digest: Digest, cid: Cid): Promise<void> {
    await this.#redis.ask((client) => client.eval(DROP, 1, this.#key(digest), cid))
    await this.#redis.ask((client) => client.eval(DROP_TEXT, 1, `${this.#redis.prefix}${digest}`, cid))
  }

  #key(digest: Digest): string {
    return `${this.#redis.prefix}rf:1:{${digest}}:b`
  }
}
