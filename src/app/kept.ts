import { Downloads } from "../blob/downloads.ts"
import { withFallback } from "../blob/fallback-spool.ts"
import { withLiveEdge } from "../blob/live-edge-spool.ts"
import type { OpenSpool } from "../blob/spool.ts"
import type { RegistryConfig } from "../config/load.ts"
import { RecentImages } from "../facade/recent-images.ts"
import type { DiskStore } from "../store/disk.ts"
import { openStore, storeDirectory, windowSpools } from "./disk.ts"
import { fileBudget } from "./file-budget.ts"
import type { Readers } from "./readers.ts"
import { buildSharing, type Sharing } from "./sharing.ts"
import type { Tools } from "./tools.ts"

/** What stays while the configuration changes: what is on disk, what is under way, and what may still be read. */
export interface Kept {
  /** Where the store is. */
  readonly path: string
  readonly store: DiskStore
  readonly spool: OpenSpool
  readonly sharing: Sharing
  readonly downloads: Downloads
  /** The images that were served, also before a change; `readers` find the bytes of those that others have served. */
  recent(readers: Readers["readers"]): RecentImages
  close(): Promise<void>
}

export async function openKept(config: RegistryConfig, tools: Tools): Promise<Kept> {
  const { clock, log, metrics, random, tuning } = { ...tools, ...tools.tuning }
  const directory = await storeDirectory(config)
  const store = openStore({ ...config, store: directory.path }, tools)
  const closeStore = async () => {
    await store.close()
    await directory.remove()
  }
  const sharing = await buildSharing(config, store, tools).catch(async (error) => {
    await closeStore()
    throw error
  })
  const spool = tuning.disk((size) => store.spool(size))
  const policy = { ...tuning.downloads, random, concurrency: fileBudget(tuning).transfers }
  const openSpool = withLiveEdge(withFallback(spool, windowSpools(tuning)))
  const ended = sharing.ended.bind(sharing)
  const downloads = new Downloads({ openSpool, policy, clock, log, metrics, ended })
  let recent: RecentImages | null = null
  return {
    path: directory.path,
    store,
    spool,
    sharing,
    downloads,
    recent: (readers) => {
      recent = new RecentImages({
        clock,
        recentMs: tuning.recentMs,
        log: store.images,
        documents: store,
        readers,
        earlier: recent,
      })
      return recent
    },
    close: async () => {
      downloads.shutdown()
      sharing.close()
      await closeStore()
    },
  }
}
