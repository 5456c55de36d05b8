import type { RedisConfig } from "../config/sharing.ts"
import type { CidIndex } from "../ipfs/cid-index.ts"
import type { Leases } from "../ipfs/leases.ts"
import type { KeyValue } from "../lib/key-value.ts"
import { readAuthorities } from "../lib/tls-files.ts"
import type { Trust } from "../oci/reference.ts"
import { SharedRedis } from "../redis/redis.ts"
import { RedisCids } from "../redis/redis-cids.ts"
import { RedisDocuments } from "../redis/redis-documents.ts"
import { RedisLeases } from "../redis/redis-leases.ts"
import { RedisTags } from "../redis/redis-tags.ts"
import { SharedDocuments } from "../redis/shared-documents.ts"
import type { DiskStore } from "../store/disk.ts"
import type { DocumentStore } from "../store/store.ts"
import type { Tools } from "./tools.ts"

export interface RedisParts {
  readonly documents: DocumentStore
  readonly tags: Readonly<Record<Trust, KeyValue>>
  readonly cids: CidIndex
  readonly leases: Leases
  close(): void
}

export async function buildRedis(
  config: RedisConfig,
  store: DiskStore,
  { log, metrics, tuning }: Tools,
): Promise<RedisParts> {
  const { clock, redis: policy } = tuning
  const tls = config.tls === null ? null : { ...config.tls, ca: config.tls.ca && readAuthorities(config.tls.ca) }
  const redis = await SharedRedis.open({ settings: { ...config, tls }, policy, clock, log, metrics })
  const now = Date.now
  const tags = (trust: Trust, kind: string) => new RedisTags({ redis, own: store.facts(kind), trust, now })
  return {
    documents: new SharedDocuments(store, new RedisDocuments({ redis, log, now })),
    tags: { operator: tags("operator", "tag"), remote: tags("remote", "remote-tag") },
    cids: new RedisCids(redis),
    leases: new RedisLeases(redis),
    close: () => redis.close(),
  }
}
