import { Downloads } from "../blob/downloads.ts"
import { withFallback } from "../blob/fallback-spool.ts"
import { Contents } from "../blobserve/contents.ts"
import { Files } from "../blobserve/files.ts"
import { StoredImageFinder } from "../blobserve/image-finder.ts"
import { KeptLayers } from "../blobserve/kept-layers.ts"
import { Layers } from "../blobserve/layers.ts"
import { Ownership } from "../blobserve/ownership.ts"
import type { BlobserveConfig } from "../config/blobserve.ts"
import type { RegistryConfig } from "../config/load.ts"
import { classifyAddress } from "../egress/address-class.ts"
import { type BlobserveApp, blobserveApp } from "../http/blobserve/app.ts"
import type { Served } from "../http/blobserve/options.ts"
import type { Trust } from "../oci/reference.ts"
import type { DiskStore } from "../store/disk.ts"
import { VERSION } from "../version.ts"
import type { CurrentRegistry } from "./current-registry.ts"
import { openStore, windowSpools } from "./disk.ts"
import { fileBudget } from "./file-budget.ts"
import type { Kept } from "./kept.ts"
import { PrePulls } from "./pre-pull.ts"
import { imageNamed, servedRepositories } from "./repositories.ts"
import type { Tools } from "./tools.ts"

/** The file server without its port. */
export interface Blobserve {
  readonly app: BlobserveApp
  /** A store of its own, which wants to be looked after; null where it uses the registry's. */
  readonly store: DiskStore | null
  /** Serves what another configuration says; places on disk stay. */
  apply(config: BlobserveConfig, settings: RegistryConfig): void
  close(): Promise<void>
}

/** What the images are read with: the parts of the registry, or the same without one. */
export interface BlobserveBase {
  readonly kept: Kept
  /** What changes with the configuration. */
  readonly current: CurrentRegistry
  readonly settings: RegistryConfig
  /** True when a registry uses the parts, too. */
  readonly isShared: boolean
}

/** Builds everything that serves files of images. */
export function buildBlobserve(config: BlobserveConfig, base: BlobserveBase, tools: Tools): Blobserve {
  const { clock, files: limits } = tools.tuning
  const { log } = tools
  const background = new AbortController()
  const keeping = openKeeping(config, base, tools)
  const { store } = keeping
  const { current, kept } = base
  const layersOf = (trust: Trust, kind: string) => {
    const scanned = new KeptLayers({ store, facts: store.facts(kind) })
    return new Layers({ store, kept: scanned, trust, policy: limits.scan, clock, log, metrics: tools.metrics })
  }
  const layers = { operator: layersOf("operator", "scanned"), remote: layersOf("remote", "remote-scanned") }
  const images = new StoredImageFinder({
    readers: () => current.readers,
    ownership: new Ownership({
      upstreams: () => current.upstreams,
      documents: kept.store,
      facts: kept.store.facts("repository"),
    }),
    facade: () => current.images,
    stores: store === kept.store ? [store] : [store, kept.store],
    caches: kept.sharing.caches,
    downloads: keeping.layers,
  })
  const { lingerMs, memoryBytes } = limits
  const reading = { lingerMs, clock, background: background.signal }
  const contents = new Contents({ store, downloads: keeping.contents, memoryBytes, ...reading })
  const files = new Files({ images, layers, contents, background: background.signal })
  let served = servedOf(config, base.settings)
  const app = blobserveApp({
    files,
    served: () => served,
    isTrusted: (address) => ["private", "loopback"].includes(classifyAddress(address)),
    clock,
    log,
    metrics: tools.metrics,
    version: VERSION,
  })
  const pulls = new PrePulls({ files, tools }, background.signal)
  pulls.follow(config, base.settings.defaultPlatform)
  const apply = (next: BlobserveConfig, settings: RegistryConfig) => {
    served = servedOf(next, settings)
    pulls.follow(next, settings.defaultPlatform)
  }
  const close = async () => {
    background.abort()
    await Promise.all([layers.operator.close(), layers.remote.close()])
    await keeping.close()
  }
  return { app, store: store === kept.store ? null : store, apply, close }
}

const servedOf = (config: BlobserveConfig, { defaultPlatform: platform }: RegistryConfig): Served => ({
  layouts: [...config.repos].flatMap(([name, { dir }]) => (dir === null ? [] : [name])),
  repository: servedRepositories(config),
  image: (target) => imageNamed(config, target),
  platform,
  timeoutMs: config.timeoutMs,
})

interface Keeping {
  readonly store: DiskStore
  readonly layers: Readonly<Record<Trust, Downloads>>
  readonly contents: Downloads
  close(): Promise<void>
}

/**
 * With a registry and no place of its own, everything is kept beside what the registry keeps. In a place of its own,
 * transfers only pass through, as those for images that nobody has listed do everywhere: what is needed of a layer is kept by
 * those who read it.
 */
function openKeeping(config: BlobserveConfig, { kept, settings, isShared }: BlobserveBase, tools: Tools): Keeping {
  const { clock, downloads, random } = tools.tuning
  const policy = { ...downloads, random, concurrency: fileBudget(tools.tuning).transfers }
  const windows = windowSpools(tools.tuning)
  const options = { policy, clock, log: tools.log, metrics: tools.metrics }
  const remote = new Downloads({ ...options, openSpool: windowSpools(tools.tuning) }) // strangers take nobody's place
  if (isShared && config.location === null) {
    const { downloads: operator, store } = kept
    return { store, layers: { operator, remote }, contents: operator, close: async () => remote.shutdown() }
  }
  const limits = { storeMaxSizeBytes: config.maxSizeBytes, storeMinFreeBytes: settings.storeMinFreeBytes }
  const store =
    isShared && config.location !== null
      ? openStore({ ...settings, ...limits, store: config.location }, spaceTools(tools))
      : kept.store
  const ended = kept.sharing.ended.bind(kept.sharing) // other nodes wait until this one has given its turn back
  const operator = new Downloads({ ...options, openSpool: windows, ended })
  const contents = new Downloads({
    ...options,
    // To finish the little that is missing of a file may take reading gigabytes of its layer
    policy: { ...policy, lingerMs: tools.tuning.files.lingerMs, finishBytes: 0 },
    openSpool: withFallback((size) => store.spool(size), windows),
  })
  const close = async () => {
    for (const transfers of [operator, remote]) transfers.shutdown()
    contents.shutdown()
    if (store !== kept.store) await store.close()
  }
  return { store, layers: { operator, remote }, contents, close }
}

/** The size of the registry's store is told apart from that of the space beside it. */
const spaceTools = (tools: Tools): Tools => ({
  ...tools,
  metrics: { ...tools.metrics, storeBytes: tools.metrics.fileSpaceBytes },
})
