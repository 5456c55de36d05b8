import { openDiscard } from "../blob/discard-spool.ts"
import { withFallback } from "../blob/fallback-spool.ts"
import type { RegistryConfig } from "../config/load.ts"
import type { Egress } from "../egress/egress.ts"
import { Composer } from "../facade/composer.ts"
import type { LayerSources } from "../facade/contribute.ts"
import type { Revision } from "../facade/images.ts"
import type { RecentImages } from "../facade/recent-images.ts"
import { SpecLookup } from "../facade/spec-lookup.ts"
import type { StaticLayers } from "../facade/static-layers.ts"
import { DirLayerSource } from "../layer/dir.ts"
import { DirectLayerSource } from "../layer/direct.ts"
import { FileLayerSource } from "../layer/file.ts"
import { FilesLayerSource } from "../layer/files.ts"
import type { Workshop } from "../layer/import-layer.ts"
import type { Clock } from "../lib/clock.ts"
import type { Trust } from "../oci/reference.ts"
import type { FixedSpecProvider } from "../spec/fixed.ts"
import { StagedConditions } from "../telemetry/staged-conditions.ts"
import type { Kept } from "./kept.ts"
import type { KnownHosts } from "./known-hosts.ts"
import { buildEgress } from "./outside.ts"
import { buildReaders, type Readers } from "./readers.ts"
import { type DockerSecrets, openDockerSecrets, openSecrets } from "./secrets.ts"
import { openFixedSpecs, openRemoteSpecs, type RemoteSpecs } from "./spec-providers.ts"
import { openStaticLayers, staticRequests } from "./static-layers.ts"
import type { Tools } from "./tools.ts"

/** The registry as one configuration makes it, without its ports. The next one goes on with those parts that stay the same. */
export interface Registry extends Revision, Pick<Readers, "readers" | "upstreams"> {
  readonly parts: Parts
}

export interface Parts {
  readonly docker: Part & Pick<DockerSecrets, "keychain">
  readonly reading: Part & Reading
  readonly fixed: Part & { readonly provider: FixedSpecProvider | null }
  readonly remote: Part & { readonly specs: RemoteSpecs }
  readonly making: Part & { readonly composer: Composer; readonly staticLayers: StaticLayers }
}

export interface Part {
  /** How it is, where that matters to those who would use it. */
  readonly conditions: StagedConditions
  /** Begins to look whether what it needs is there. */
  watch(): void
  /** `staying` goes on with what they share. */
  close(staying: Parts | null): void
}

interface Reading extends Readers {
  readonly egress: Readonly<Record<Trust, Egress>>
  readonly layers: Readonly<Record<Trust, LayerSources>>
  readonly recent: RecentImages
}

export interface RegistryBase {
  readonly kept: Kept
  readonly hosts: KnownHosts
  /** The configuration in use. */
  readonly settings: () => RegistryConfig
}

/** What is there already, and the keys of the configuration that differ since. */
export interface Before {
  readonly parts: Parts
  readonly changed: ReadonlySet<string>
}

/** Builds everything that serves images, beside what may be there already. Rejects with what people have to correct. */
export async function buildRegistry(
  config: RegistryConfig,
  base: RegistryBase,
  before: Before | null,
  tools: Tools,
): Promise<Registry> {
  const fresh: Part[] = []
  const part = async <Value extends Part>(old: Value | null, build: () => Value | Promise<Value>): Promise<Value> => {
    if (old !== null) return old
    const built = await build()
    fresh.push(built)
    return built
  }
  /** The part as it was, where none of these keys has changed. */
  const unless = <Value extends Part>(old: Value | undefined, ...keys: readonly string[]) =>
    before === null || old === undefined || keys.some((key) => before.changed.has(key)) ? null : old
  const old = before?.parts
  try {
    const docker = await part(unless(old?.docker, "dockerAuth"), () => dockerPart(config, tools))
    const ofHosts = ["dockerAuth", "registry.upstreams", "registry.allowedUpstreams"]
    const reading = await part(unless(old?.reading, ...ofHosts), () => readingPart(config, docker, base, tools))
    const fixed = await part(unless(old?.fixed, "registry.fixedSpecFN"), () => fixedPart(config, tools))
    const sameReading = old?.reading === reading ? old : undefined
    const asksWeb = config.specProviders.some(({ kind }) => kind === "http")
    const remote = await part(unless((asksWeb ? sameReading : old)?.remote, "registry.remoteSpecProvider"), () =>
      remotePart(config, { egress: reading.egress.operator, earlier: old?.remote.specs ?? null }, tools),
    )
    const ofLayers = ["registry.staticLayer", "registry.defaultPlatform"]
    const making = await part(unless(sameReading?.making, ...ofLayers), () =>
      makingPart(config, { reading, earlier: sameReading?.making.staticLayers ?? null }, tools),
    )
    const providers = [fixed.provider, remote.specs.provider].filter((provider) => provider !== null)
    const { readers, recent, upstreams } = reading
    const specs = new SpecLookup(providers, tools.log)
    return {
      specs,
      composer: making.composer,
      recent,
      readers,
      upstreams,
      parts: { docker, reading, fixed, remote, making },
    }
  } catch (error) {
    for (const built of fresh) built.close(old ?? null)
    throw error
  }
}

/** One that is as good as it was built. */
const still = (close: Part["close"]): Part => ({ conditions: new StagedConditions(), watch: () => {}, close })

async function dockerPart(config: RegistryConfig, tools: Tools): Promise<Parts["docker"]> {
  const docker = await openDockerSecrets(config, tools)
  return { ...docker, ...still(docker.close) }
}

async function readingPart(
  config: RegistryConfig,
  docker: Pick<DockerSecrets, "keychain">,
  { hosts, kept, settings }: RegistryBase,
  tools: Tools,
): Promise<Parts["reading"]> {
  const { spool, store } = kept
  const { authorities, close, keychain } = await openSecrets(config, docker.keychain, tools)
  const egress = buildEgress(config, { authorities, hosts }, tools)
  const readers = buildReaders(config, { ...kept, egress, hosts, keychain, settings }, tools)
  const { fetched } = readers
  const workshop = { openSpool: withFallback(spool, openDiscard), facts: store.facts("layer") }
  const made = madeLayers(workshop, tools.tuning.clock)
  const layers = { operator: { ...made, ...fetched.operator }, remote: { ...made, ...fetched.remote } }
  return { ...readers, egress, layers, recent: kept.recent(readers.readers), ...still(close) }
}

async function fixedPart(config: RegistryConfig, tools: Tools): Promise<Parts["fixed"]> {
  const provider = await openFixedSpecs(config, tools)
  return { provider, ...still(() => provider?.close()) }
}

function remotePart(
  config: RegistryConfig,
  beside: { readonly egress: Egress; readonly earlier: RemoteSpecs | null },
  tools: Tools,
): Parts["remote"] {
  const conditions = new StagedConditions()
  const specs = openRemoteSpecs(config, { ...beside, readiness: conditions }, tools)
  const { provider } = specs
  const close = (staying: Parts | null) => provider?.close([...(staying?.remote.specs.sources.values() ?? [])])
  return { specs, conditions, watch: () => provider?.watch(), close }
}

function makingPart(
  config: RegistryConfig,
  { earlier, reading }: { readonly reading: Reading; readonly earlier: StaticLayers | null },
  tools: Tools,
): Parts["making"] {
  const { layers, readers } = reading
  const { defaultPlatform } = config
  const conditions = new StagedConditions()
  const requests = staticRequests(config.staticLayers)
  const beside = { earlier, platform: defaultPlatform, readiness: conditions, requests, sources: layers.operator }
  const staticLayers = openStaticLayers(beside, tools)
  const composer = new Composer({
    readers,
    layers,
    staticLayers: requests,
    staticSources: staticLayers.sources,
    defaultPlatform,
    log: tools.log,
  })
  return { composer, staticLayers, conditions, watch: () => staticLayers.watch(), close: () => staticLayers.close() }
}

/** The layers that are made of what is on this machine or in the spec. */
const madeLayers = (workshop: Workshop, clock: Clock) => ({
  file: new FileLayerSource(workshop),
  dir: new DirLayerSource(workshop, clock),
  files: new FilesLayerSource(workshop),
  direct: new DirectLayerSource(workshop),
})
