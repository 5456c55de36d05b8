import { isRecord } from "../lib/record.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import { type Digest, digestAlgorithm, digestOf } from "../oci/digest.ts"
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts"
import type { DocumentStore } from "../store/store.ts"
import type { Logger } from "../telemetry/log.ts"
import type { SharedRedis } from "./redis.ts"

/** What the original writes about a document, beside its bytes. Times are in seconds since the epoch. */
export interface DocumentInfo {
  readonly digest: string
  readonly size: number
  readonly createdAt: number
  readonly updatedAt: number
  readonly labels: Readonly<Record<string, string>>
}

export interface RedisDocumentsOptions {
  readonly redis: SharedRedis
  readonly log: Logger
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

const MAX_INFO_BYTES = 64 * 1024
const DAY_MS = 86_400_000
/** The original's keys never expired, so its Redis only grew. */
const KEPT_MS = 30 * DAY_MS

/**
 * Manifests and configs, as the original keeps them: `nfo.<digest>` describes, `cnt.<digest>` is the content. Whatever
 * does not match its digest is no answer: the original also keeps other manifests under the digest of an index.
 */
export class RedisDocuments implements DocumentStore {
  readonly #options: RedisDocumentsOptions

  constructor(options: RedisDocumentsOptions) {
    this.#options = options
  }

  /** Null: Redis does not know it, or does not answer. Rejects when what it knows cannot be decoded. */
  async info(digest: Digest): Promise<DocumentInfo | null> {
    const { redis } = this.#options
    const text = await redis.ask((client) => client.getrange(`${redis.prefix}nfo.${digest}`, 0, MAX_INFO_BYTES))
    return text ? decodeInfo(digest, text) : null
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    const { log, redis } = this.#options
    try {
      const info = await this.info(digest)
      if (info === null || info.size > MAX_MANIFEST_BYTES) return null
    } catch (error) {
      log.warn("Redis holds a document that is not understood", { digest, error })
      return null
    }
    const content = `${redis.prefix}cnt.${digest}`
    // Never more than a document can have, whatever is there
    const bytes = await redis.ask((client) => client.getrangeBuffer(content, 0, MAX_MANIFEST_BYTES))
    if (bytes === null || digestOf(bytes, digestAlgorithm(digest)) !== digest) return null
    return new Uint8Array(bytes)
  }

  /** Does nothing where both keys exist. */
  async put({ descriptor: { digest, mediaType }, bytes }: JsonBlob): Promise<void> {
    const { now, redis } = this.#options
    const content = `${redis.prefix}cnt.${digest}`
    const info = `${redis.prefix}nfo.${digest}`
    const found = await redis.ask((client) => Promise.all([client.exists(content), client.exists(info)]))
    if (found === null || found.every((count) => count === 1)) return
    const seconds = Math.floor(now() / 1000)
    const text = JSON.stringify({
      Digest: digest,
      Size: bytes.byteLength,
      CreatedAt: seconds,
      UpdatedAt: seconds,
      Labels: { "Content-Type": mediaType },
    })
    await redis.ask(async (client) => {
      const buffer = Buffer.from(bytes)
      if (redis.isCluster) await Promise.all([client.set(content, buffer), client.set(info, text)])
      else await client.mset(content, buffer, info, text)
      await Promise.all([client.pexpire(content, KEPT_MS), client.pexpire(info, KEPT_MS)])
    })
  }
}

function decodeInfo(digest: Digest, text: string): DocumentInfo {
  const value: unknown = parsed(text)
  if (!isRecord(value)) throw new Error(`Cannot decode what Redis holds about ${digest}: it is no JSON object`)
  const { CreatedAt, Digest, Labels, Size, UpdatedAt } = value
  if (typeof Size !== "number" || typeof Digest !== "string")
    throw new Error(`Cannot decode what Redis holds about ${digest}: it has no Size or no Digest`)
  return {
    digest: Digest,
    size: Size,
    createdAt: typeof CreatedAt === "number" ? CreatedAt : 0,
    updatedAt: typeof UpdatedAt === "number" ? UpdatedAt : 0,
    labels: isRecord(Labels)
      ? Object.fromEntries(Object.entries(Labels).map(([key, label]) => [key, String(label)]))
      : {},
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
