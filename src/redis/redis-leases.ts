import type { Leases } from "../ipfs/leases.ts"
import type { Digest } from "../oci/digest.ts"
import type { SharedRedis } from "./redis.ts"

/** A node that dies holds up the others for no longer. */
const LEASE_MS = 15_000

/** Of a UUID. */
const TOKEN_LENGTH = 36
/** What PTTL says of a key that stays. */
const NO_EXPIRY = -1

const RENEW =
  "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) else return 0 end"
const RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"

export class RedisLeases implements Leases {
  readonly #redis: SharedRedis
  /** Of this process. */
  readonly #token = crypto.randomUUID()

  constructor(redis: SharedRedis) {
    this.#redis = redis
  }

  async take(digest: Digest): Promise<"ours" | "others" | "unknown"> {
    const key = this.#key(digest)
    const answer = await this.#redis.ask(async (client) => {
      if ((await client.set(key, this.#token, "PX", LEASE_MS, "NX")) === "OK") return "ours" as const
      const [owner, leftMs] = await Promise.all([client.getrange(key, 0, TOKEN_LENGTH), client.pttl(key)])
      if (owner === this.#token) return "ours" as const
      // What none of us has written is never given back
      return owner === "" || (owner.length === TOKEN_LENGTH && leftMs <= LEASE_MS && leftMs !== NO_EXPIRY)
        ? ("others" as const)
        : ("unknown" as const)
    })
    return answer ?? "unknown"
  }

  async renew(digest: Digest): Promise<void> {
    await this.#redis.ask((client) => client.eval(RENEW, 1, this.#key(digest), this.#token, LEASE_MS))
  }

  async release(digest: Digest): Promise<void> {
    await this.#redis.ask((client) => client.eval(RELEASE, 1, this.#key(digest), this.#token))
  }

  #key(digest: Digest): string {
    return `${this.#redis.prefix}rf:1:{${digest}}:l`
  }
}
