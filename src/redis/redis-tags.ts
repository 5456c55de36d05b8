import type { KeyValue } from "../lib/key-value.ts"
import type { Trust } from "../oci/reference.ts"
import type { SharedRedis } from "./redis.ts"

export interface RedisTagsOptions {
  readonly redis: SharedRedis
  /** What this node knows. */
  readonly own: KeyValue
  /** Whose specs ask: what operators' specs have resolved is no answer to others. The original knew only the former. */
  readonly trust: Trust
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** What is longer is none of ours, and not fetched. */
const MAX_TEXT = 8192
const DAY_MS = 86_400_000
const KEPT_MS = 7 * DAY_MS

/** The original's nodes take what they find for ever. */
const ORIGINAL_KEPT_MS = 2 * 60 * 60_000

/**
 * What tags were resolved to, `<milliseconds since the epoch> <digest> <media type> <size>`, known to all nodes. It is asked only while an
 * upstream fails, because nothing in Redis proves where a tag points to. The original's `resolve.<reference>` is read and
 * written, too; it does not tell when it was true, so it counts as just resolved.
 */
export class RedisTags implements KeyValue {
  readonly #options: RedisTagsOptions

  constructor(options: RedisTagsOptions) {
    this.#options = options
  }

  async get(reference: string): Promise<string | null> {
    const { now, own, redis, trust } = this.#options
    const known = await own.get(reference)
    if (known !== null && known !== "") return known
    const shared = await redis.ask((client) => client.getrange(this.#key(reference), 0, MAX_TEXT))
    if (shared) return shared
    if (trust !== "operator") return known
    const original = await redis.ask((client) => client.getrange(`${redis.prefix}resolve.${reference}`, 0, MAX_TEXT))
    const digest = /"digest"\s*:\s*"([a-z0-9]+:[0-9a-f]+)"/.exec(original ?? "")?.[1]
    return digest === undefined ? known : `${now()} ${digest}`
  }

  async set(reference: string, value: string): Promise<void> {
    const { own, redis, trust } = this.#options
    await own.set(reference, value)
    const key = this.#key(reference)
    if (value === "") {
      await redis.ask((client) => Promise.all([client.del(key), client.del(`${redis.prefix}resolve.${reference}`)]))
      return
    }
    await redis.ask((client) => client.set(key, value, "PX", KEPT_MS))
    if (trust !== "operator") return
    const [, digest, mediaType, size] = value.split(" ")
    const original = JSON.stringify({ Name: reference, Desc: { mediaType, digest, size: Number(size) } })
    await redis.ask((client) => client.set(`${redis.prefix}resolve.${reference}`, original, "PX", ORIGINAL_KEPT_MS))
  }

  #key(reference: string): string {
    return `${this.#options.redis.prefix}rf:1:tag:${this.#options.trust}:${reference}`
  }
}
