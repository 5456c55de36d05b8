import type { BlobSource } from "../blob/blob.ts"
import type { EndedTransfer } from "../blob/downloads.ts"
import type { RegistryConfig } from "../config/load.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Trust } from "../oci/reference.ts"
import type { DiskStore } from "../store/disk.ts"
import type { DocumentStore } from "../store/store.ts"
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
export async function buildSharing({ sharing }: RegistryConfig, store: DiskStore, tools: Tools): Promise<Sharing> {
  // What is not configured is not loaded: reading what speaks to them is a good part of a start
  const redis = sharing.redis && (await (await import("./redis.ts")).buildRedis(sharing.redis, store, tools))
  const ipfs = sharing.ipfs && (await import("./ipfs.ts")).buildIpfs(sharing.ipfs, { store, redis }, tools)
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
