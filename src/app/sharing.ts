import type { BlobSource } from "../blob/blob.ts"
import type { EndedTransfer } from "../blob/downloads.ts"
import type { RegistryConfig } from "../config/load.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Trust } from "../oci/reference.ts"
import type { DiskStore } from "../store/disk.ts"
import type { DocumentStore } from "../store/store.ts"
import { buildIpfs } from "./ipfs.ts"
import { buildRedis } from "./redis.ts"
import type { Tools } from "./tools.ts"

/** What other nodes know and have, as far as it is configured. */
export interface Sharing {
  readonly documents: DocumentStore
  readonly tags: Readonly<Record<Trust, KeyValue>>
  /** Places to look in for blobs before the upstream. */
  readonly caches: readonly BlobSource[]
  /** Told of every transfer that has ended. */
  ended(transfer: EndedTransfer): void
  close(): void
}

/** Connects to nothing that it would wait for. */
export async function buildSharing(config: RegistryConfig, store: DiskStore, tools: Tools): Promise<Sharing> {
  const redis = config.sharing.redis === null ? null : await buildRedis(config.sharing.redis, store, tools)
  const ipfs = config.sharing.ipfs === null ? null : buildIpfs(config.sharing.ipfs, { store, redis }, tools)
  void ipfs?.maintain()
  const own = { operator: store.facts("tag"), remote: store.facts("remote-tag") }
  return {
    documents: redis?.documents ?? store,
    tags: redis?.tags ?? own,
    caches: ipfs?.caches ?? [],
    ended: (transfer) => ipfs?.ended(transfer),
    close: () => {
      ipfs?.close()
      redis?.close()
    },
  }
}
