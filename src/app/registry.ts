import { openDiscard } from "../blob/discard-spool.ts"
import { Downloads } from "../blob/downloads.ts"
import { withFallback } from "../blob/fallback-spool.ts"
import { withLiveEdge } from "../blob/live-edge-spool.ts"
import type { OpenSpool } from "../blob/spool.ts"
import type { RegistryConfig, StaticLayerConfig } from "../config/load.ts"
import { Composer } from "../facade/composer.ts"
import { Images } from "../facade/images.ts"
import { RecentImages } from "../facade/recent-images.ts"
import { SpecLookup } from "../facade/spec-lookup.ts"
import { DirLayerSource } from "../layer/dir.ts"
import { DirectLayerSource } from "../layer/direct.ts"
import { FileLayerSource } from "../layer/file.ts"
import { FilesLayerSource } from "../layer/files.ts"
import type { Workshop } from "../layer/import-layer.ts"
import type { Clock } from "../lib/clock.ts"
import type { DiskStore } from "../store/disk.ts"
import type { Logger } from "../telemetry/log.ts"
import { createMetrics, type Metrics } from "../telemetry/metrics.ts"
import { Readiness } from "../telemetry/readiness.ts"
import { PRODUCTION, type Tuning } from "../tuning.ts"
import { openStore, storeDirectory, windowSpools } from "./disk.ts"
import { fileBudget } from "./file-budget.ts"
import { buildEgress } from "./outside.ts"
import { buildReaders } from "./readers.ts"
import { openSecrets } from "./secrets.ts"
import { buildSharing, type Sharing } from "./sharing.ts"
import { openSpecProviders } from "./spec-providers.ts"
import { openStaticLayers, staticRequests } from "./static-layers.ts"
import type { Tools } from "./tools.ts"

/** The registry without its ports, as `run` and `compose` share it. */
export interface RegistryParts {
  readonly images: Images
  readonly store: DiskStore
  readonly metrics: Metrics
  readonly readiness: Readiness
  /** Begins to look whether what images are made of is there, and to tell `readiness`. */
  watch(): void
  /** For a configuration that has changed: another list takes the place of this one when all of it is loaded. */
  replaceStaticLayers(layers: readonly StaticLayerConfig[]): void
  close(): Promise<void>
}

/** Builds everything that serves images. Rejects with what people have to correct. */
export async function buildRegistry(
  config: RegistryConfig,
  log: Logger,
  tuning: Tuning = PRODUCTION,
): Promise<RegistryParts> {
  const metrics = createMetrics()
  const readiness = new Readiness(log)
  const tools = { log, metrics, tuning }
  const { clock } = tuning
  const secrets = await openSecrets(config, tools)
  const egress = buildEgress(config, secrets.authorities, tools)
  const providers = await openSpecProviders(config, { ...tools, egress: egress.operator, readiness })
  const directory = await storeDirectory(config, log)
  const store = openStore({ ...config, store: directory.path }, tools)
  const spool = tuning.disk((size) => store.spool(size))
  const sharing = await buildSharing(config, store, tools)
  const downloads = openDownloads(spool, sharing, tools)
  const means = { store, sharing, downloads, egress, keychain: secrets.keychain }
  const { readers, fetched } = buildReaders(config, means, tools)
  const made = madeLayers({ openSpool: withFallback(spool, openDiscard), facts: store.facts("layer") }, clock)
  const layers = { operator: { ...made, ...fetched.operator }, remote: { ...made, ...fetched.remote } }
  const { defaultPlatform } = config
  const staticLayers = openStaticLayers(
    config.staticLayers,
    {
      sources: layers.operator,
      platform: defaultPlatform,
      build: (requests, staticSources) =>
        new Composer({ readers, layers, staticLayers: requests, staticSources, defaultPlatform, log }),
    },
    { ...tools, readiness },
  )
  const images = new Images({
    specs: new SpecLookup(providers.all, log),
    composer: () => staticLayers.current,
    log,
    recent: new RecentImages({ clock, log: store.images, documents: store, readers }),
    store,
    caches: sharing.caches,
    downloads,
    metrics,
    clock,
    patienceMs: tuning.composing.patienceMs,
  })
  const close = async () => {
    providers.close()
    staticLayers.close()
    secrets.close()
    downloads.shutdown()
    sharing.close()
    await store.close()
    await directory.remove()
  }
  const watch = () => {
    providers.watch()
    staticLayers.watch()
  }
  const replaceStaticLayers = (list: readonly StaticLayerConfig[]) => staticLayers.replace(staticRequests(list))
  return { images, store, metrics, readiness, watch, replaceStaticLayers, close }
}

function openDownloads(spool: OpenSpool, sharing: Sharing, { log, metrics, tuning }: Tools): Downloads {
  const { clock, downloads, random } = tuning
  const policy = { ...downloads, random, concurrency: fileBudget(tuning).transfers }
  const openSpool = withLiveEdge(withFallback(spool, windowSpools(tuning)))
  return new Downloads({ openSpool, policy, clock, log, metrics, ended: (transfer) => sharing.ended(transfer) })
}

/** The layers that are made of what is on this machine or in the spec. */
const madeLayers = (workshop: Workshop, clock: Clock) => ({
  file: new FileLayerSource(workshop),
  dir: new DirLayerSource(workshop, clock),
  files: new FilesLayerSource(workshop),
  direct: new DirectLayerSource(workshop),
})
