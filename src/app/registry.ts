import { openDiscard } from "../blob/discard-spool.ts"
import { withFallback } from "../blob/fallback-spool.ts"
import type { RegistryConfig, StaticLayerConfig } from "../config/load.ts"
import { Composer } from "../facade/composer.ts"
import { Images } from "../facade/images.ts"
import { SpecLookup } from "../facade/spec-lookup.ts"
import { DirLayerSource } from "../layer/dir.ts"
import { DirectLayerSource } from "../layer/direct.ts"
import { FileLayerSource } from "../layer/file.ts"
import { FilesLayerSource } from "../layer/files.ts"
import type { Workshop } from "../layer/import-layer.ts"
import type { Clock } from "../lib/clock.ts"
import type { Kept } from "./kept.ts"
import { buildEgress } from "./outside.ts"
import { buildReaders, type Readers } from "./readers.ts"
import { openSecrets } from "./secrets.ts"
import { openSpecProviders } from "./spec-providers.ts"
import { openStaticLayers, staticRequests } from "./static-layers.ts"
import type { Tools } from "./tools.ts"

/** The registry without its ports, as `run` and `compose` share it. */
export interface Registry {
  readonly images: Images
  /** Begins to look whether what images are made of is there, and to tell `readiness`. */
  watch(): void
  /** For a configuration that has changed: another list takes the place of this one when all of it is loaded. */
  replaceStaticLayers(layers: readonly StaticLayerConfig[]): void
  readonly readers: Readers["readers"]
  readonly upstreams: Readers["upstreams"]
  close(): void
}

/** Builds everything that serves images. Rejects with what people have to correct. */
export async function buildRegistry(config: RegistryConfig, kept: Kept, tools: Tools): Promise<Registry> {
  const { log, metrics, tuning } = tools
  const { clock } = tuning
  const { downloads, sharing, spool, store } = kept
  const secrets = await openSecrets(config, tools)
  const egress = buildEgress(config, secrets.authorities, tools)
  const providers = await openSpecProviders(config, { ...tools, egress: egress.operator }).catch((error) => {
    secrets.close()
    throw error
  })
  const { readers, upstreams, fetched } = buildReaders(config, { ...kept, egress, keychain: secrets.keychain }, tools)
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
    tools,
  )
  const images = new Images({
    specs: new SpecLookup(providers.all, log),
    composer: () => staticLayers.current,
    log,
    recent: kept.recent(readers),
    store,
    caches: sharing.caches,
    downloads,
    metrics,
    clock,
    patienceMs: tuning.composing.patienceMs,
  })
  const close = () => {
    providers.close()
    staticLayers.close()
    secrets.close()
  }
  const watch = () => {
    providers.watch()
    staticLayers.watch()
  }
  const replaceStaticLayers = (list: readonly StaticLayerConfig[]) => staticLayers.replace(staticRequests(list))
  return { images, readers, upstreams, watch, replaceStaticLayers, close }
}

/** The layers that are made of what is on this machine or in the spec. */
const madeLayers = (workshop: Workshop, clock: Clock) => ({
  file: new FileLayerSource(workshop),
  dir: new DirLayerSource(workshop, clock),
  files: new FilesLayerSource(workshop),
  direct: new DirectLayerSource(workshop),
})
