import { openDiscard } from "../blob/discard-spool.ts"
import { Downloads } from "../blob/downloads.ts"
import { withFallback } from "../blob/fallback-spool.ts"
import { withLiveEdge } from "../blob/live-edge-spool.ts"
import type { RegistryConfig, StaticLayerConfig } from "../config/load.ts"
import { Composer } from "../facade/composer.ts"
import { Images } from "../facade/images.ts"
import { RecentImages } from "../facade/recent-images.ts"
import { DirLayerSource } from "../layer/dir.ts"
import { DirectLayerSource } from "../layer/direct.ts"
import { FileLayerSource } from "../layer/file.ts"
import { FilesLayerSource } from "../layer/files.ts"
import type { LayerRequest } from "../layer/layer.ts"
import { parseReference } from "../oci/reference.ts"
import { FixedSpecProvider } from "../spec/fixed.ts"
import type { DiskStore } from "../store/disk.ts"
import type { Logger } from "../telemetry/log.ts"
import { createMetrics, type Metrics } from "../telemetry/metrics.ts"
import { Readiness } from "../telemetry/readiness.ts"
import { PRODUCTION, type Tuning } from "../tuning.ts"
import { openStore, storeDirectory, windowSpools } from "./disk.ts"
import { fileBudget } from "./file-budget.ts"
import { buildReaders } from "./readers.ts"
import { buildSharing } from "./sharing.ts"

/** The registry without its ports, as `run` and `compose` share it. */
export interface RegistryParts {
  readonly images: Images
  readonly store: DiskStore
  readonly metrics: Metrics
  readonly readiness: Readiness
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
  const fixed =
    config.fixedSpecs === null ? null : await FixedSpecProvider.create({ path: config.fixedSpecs, clock, log, metrics })
  const directory = await storeDirectory(config, log)
  const store = openStore({ ...config, store: directory.path }, tools)
  const spool = tuning.disk((size) => store.spool(size))
  const policy = { ...tuning.downloads, random: tuning.random, concurrency: fileBudget(tuning).transfers }
  const sharing = await buildSharing(config, store, tools)
  const openSpool = withLiveEdge(withFallback(spool, windowSpools(tuning)))
  const downloads = new Downloads({
    openSpool,
    policy,
    clock,
    log,
    metrics,
    ended: (transfer) => sharing.ended(transfer),
  })
  const facts = store.facts("layer")
  const { readers, fetched, close: closeReaders } = await buildReaders(config, { store, sharing, downloads }, tools)
  const workshop = { openSpool: withFallback(spool, openDiscard), facts }
  const made = {
    file: new FileLayerSource(workshop),
    dir: new DirLayerSource(workshop, clock),
    files: new FilesLayerSource(workshop),
    direct: new DirectLayerSource(),
  }
  const layers = { operator: { ...made, ...fetched.operator }, remote: { ...made, ...fetched.remote } }
  const staticLayers = config.staticLayers.map(staticRequest)
  const composer = new Composer({ readers, layers, staticLayers, defaultPlatform: config.defaultPlatform, log })
  const images = new Images({
    providers: fixed === null ? [] : [fixed],
    composer,
    recent: new RecentImages({ clock, log: store.images, documents: store, readers }),
    store,
    caches: sharing.caches,
    downloads,
    metrics,
    clock,
    patienceMs: tuning.composing.patienceMs,
  })
  const close = async () => {
    fixed?.close()
    closeReaders()
    downloads.shutdown()
    sharing.close()
    await store.close()
    await directory.remove()
  }
  return { images, store, metrics, readiness, close }
}

function staticRequest({ type, ref, text }: StaticLayerConfig): LayerRequest {
  if (type === "file") return { kind: "file", path: ref, text }
  if (type === "dir") return { kind: "dir", path: ref, dest: "/", text }
  const reference = parseReference(ref)
  if (reference.kind === "scratch") throw new Error("Cannot add the empty image as a static layer")
  return { kind: "image", reference, text }
}
