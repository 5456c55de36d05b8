import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openDiscard } from "./blob/discard-spool.ts"
import { Downloads } from "./blob/downloads.ts"
import { withFallback } from "./blob/fallback-spool.ts"
import type { OpenSpool } from "./blob/spool.ts"
import { WindowSpool } from "./blob/window-spool.ts"
import type { Config, RegistryConfig, StaticLayerConfig } from "./config/load.ts"
import type { Egress } from "./egress/egress.ts"
import { createEgress } from "./egress/fetch-egress.ts"
import { limitedEgress } from "./egress/limited-egress.ts"
import { CachedImages } from "./facade/cached-images.ts"
import { Composer } from "./facade/composer.ts"
import type { LayerSources } from "./facade/contribute.ts"
import { Images } from "./facade/images.ts"
import { RecentImages } from "./facade/recent-images.ts"
import { httpApp } from "./http/app.ts"
import { metricsApp } from "./http/metrics.ts"
import { type Listener, listen } from "./http/server.ts"
import { DirLayerSource } from "./layer/dir.ts"
import { DirectLayerSource } from "./layer/direct.ts"
import { FileLayerSource } from "./layer/file.ts"
import { FilesLayerSource } from "./layer/files.ts"
import { ImageLayerSource } from "./layer/image.ts"
import type { LayerRequest } from "./layer/layer.ts"
import { UrlLayerSource } from "./layer/url.ts"
import { openFilesLimit } from "./lib/open-files.ts"
import { Semaphore } from "./lib/semaphore.ts"
import { canonicalHost, parseReference } from "./oci/reference.ts"
import { FixedSpecProvider } from "./spec/fixed.ts"
import { DiskStore } from "./store/disk.ts"
import type { Logger } from "./telemetry/log.ts"
import { createMetrics, type Metrics } from "./telemetry/metrics.ts"
import { PRODUCTION, type Tuning } from "./tuning.ts"
import type { Keychain } from "./upstream/keychain.ts"
import { LayoutUpstream } from "./upstream/layout-upstream.ts"
import { RegistryClient } from "./upstream/registry-client.ts"
import { RegistryUpstream } from "./upstream/registry-upstream.ts"
import { RetryingUpstream, upstreamWaitMs } from "./upstream/retrying-upstream.ts"
import { TokenCache } from "./upstream/token.ts"
import { Upstreams } from "./upstream/upstreams.ts"
import { VERSION } from "./version.ts"

/** What everything is built with. */
interface Tools {
  readonly log: Logger
  readonly metrics: Metrics
  readonly tuning: Tuning
}

/** The registry without its ports, as `run` and `compose` share it. */
export interface RegistryParts {
  readonly images: Images
  readonly store: DiskStore
  readonly metrics: Metrics
  close(): Promise<void>
}

export interface RunningApp {
  /** Of the registry; null where the configuration has none. */
  readonly registryPort: number | null
  stop(isForced: boolean): Promise<void>
}

/** Builds everything that serves images. Rejects with what people have to correct. */
export async function buildRegistry(
  config: RegistryConfig,
  log: Logger,
  tuning: Tuning = PRODUCTION,
): Promise<RegistryParts> {
  const metrics = createMetrics()
  const tools = { log, metrics, tuning }
  const { clock } = tuning
  const fixed =
    config.fixedSpecs === null ? null : await FixedSpecProvider.create({ path: config.fixedSpecs, clock, log, metrics })
  const directory = await storeDirectory(config, log)
  const store = openStore({ ...config, store: directory.path }, tools)
  const spool = tuning.disk((size) => store.spool(size))
  const downloads = new Downloads({
    openSpool: withFallback(spool, windowSpools(tuning)),
    policy: downloadPolicy(tuning),
    clock,
    log,
    metrics,
  })
  const egress = buildEgress(config, tuning)
  const reader = new CachedImages({
    upstream: buildUpstream(config, egress, tools),
    documents: store,
    downloads,
    clock,
    tagTtlMs: config.tagTtlMs,
  })
  const facts = store.facts("layer")
  const workshop = { openSpool: withFallback(spool, openDiscard), facts }
  const layers: LayerSources = {
    file: new FileLayerSource(workshop),
    dir: new DirLayerSource(workshop, clock),
    files: new FilesLayerSource(workshop),
    image: new ImageLayerSource(reader),
    url: new UrlLayerSource({ egress, downloads, store, facts }),
    direct: new DirectLayerSource(),
  }
  const staticLayers = config.staticLayers.map(staticRequest)
  const composer = new Composer({ reader, layers, staticLayers, defaultPlatform: config.defaultPlatform, log })
  const recent = new RecentImages({ clock, log: store.images, documents: store, reader })
  const images = new Images({
    providers: fixed === null ? [] : [fixed],
    composer,
    recent,
    store,
    caches: [],
    downloads,
    metrics,
    clock,
    patienceMs: tuning.composing.patienceMs,
  })
  const close = async () => {
    fixed?.close()
    downloads.shutdown()
    await store.close()
    await directory.remove()
  }
  return { images, store, metrics, close }
}

/** Opens the ports and serves. Rejects when the configuration or the machine does not allow it. */
export async function startApp(config: Config, log: Logger, tuning: Tuning = PRODUCTION): Promise<RunningApp> {
  const { registry } = config
  if (registry === null) throw new Error(`Cannot serve ${config.file}: it has no section "registry"`)
  const parts = await buildRegistry(registry, log, tuning)
  const { images, metrics, store } = parts
  const handle = httpApp({
    facade: () => images,
    prefix: registry.prefix,
    isPrivate: false,
    version: VERSION,
    log,
    metrics,
  })
  const { requests } = fileBudget(tuning)
  const background = new AbortController()
  const listeners: Listener[] = []
  const stop = async (isForced: boolean) => {
    background.abort()
    await Promise.all(listeners.map((listener) => listener.stop(isForced)))
    await parts.close()
  }
  try {
    const { host: hostname, port } = registry
    listeners.push(listen({ hostname, port, handle, log, metrics, maxConcurrent: requests }))
    if (config.prometheusAddr !== null) {
      const address = splitAddress(config.prometheusAddr)
      const options = { handle: metricsApp(metrics), log, metrics: null, maxConcurrent: PROBE_REQUESTS }
      listeners.push(listen({ ...address, ...options }))
    }
  } catch (error) {
    await stop(true)
    throw error
  }
  void keepUp(store, tuning, background.signal)
  const registryPort = listeners[0]?.port ?? null
  log.info("HTTP registry server listening", { addr: `${registry.host}:${registryPort}` })
  return { registryPort, stop }
}

/** The disk store of a configuration; nothing is read or written until it is used. */
export function openStore(
  config: RegistryConfig & { readonly store: string },
  { log, metrics, tuning }: Tools,
): DiskStore {
  const limits = { maxSizeBytes: config.storeMaxSizeBytes, minFreeBytes: config.storeMinFreeBytes }
  return new DiskStore({ root: config.store, limits, clock: tuning.clock, log, metrics })
}

/** Looks after the store while it serves. */
async function keepUp(store: DiskStore, { clock, maintenanceMs }: Tuning, signal: AbortSignal): Promise<void> {
  void store.scrub(signal)
  while (!signal.aborted) {
    await store.maintain()
    await clock.sleep(maintenanceMs, signal).catch(() => {})
  }
}

const RESERVED_FILES = 32
const PROBE_REQUESTS = 100

/** A request takes a socket and a file, a transfer a socket and a spool; the rest is for logs, probes and the runtime. */
function fileBudget({ downloads }: Tuning): { readonly requests: number; readonly transfers: number } {
  const free = Math.max(openFilesLimit() - RESERVED_FILES, 20)
  return { requests: Math.floor(free * 0.4), transfers: Math.min(downloads.concurrency, Math.floor(free * 0.1)) }
}

const downloadPolicy = (tuning: Tuning) => ({
  ...tuning.downloads,
  random: tuning.random,
  concurrency: fileBudget(tuning).transfers,
})

/** Memory for blobs that no disk can take: a bounded number of windows, each of bounded size. */
function windowSpools({ clock, downloads, windows }: Tuning): OpenSpool {
  const slots = new Semaphore(windows.count)
  return async (size) => {
    const release = await slots.acquire(AbortSignal.timeout(downloads.queueMs))
    const capacity = size !== null && size <= downloads.verifyFirstBytes ? Math.max(size, 1) : windows.bytes
    return new WindowSpool({ capacity, patienceMs: windows.patienceMs, clock, closed: release })
  }
}

/** A configured store, or a directory of this process alone. */
async function storeDirectory({ store }: RegistryConfig, log: Logger) {
  if (store !== null) return { path: store, remove: async () => {} }
  const path = await mkdtemp(join(tmpdir(), "registry-facade-"))
  log.warn('no "store" is configured, blobs are kept until this process ends', { path })
  return { path, remove: async () => await rm(path, { recursive: true, force: true }) }
}

function buildEgress({ upstreams }: RegistryConfig, { clock, egress }: Tuning): Egress {
  const authorities = new Map<string, string>()
  for (const [host, { ca }] of upstreams) if (ca !== null) authorities.set(host, readFileSync(ca, "utf8"))
  const hostSettings = (host: string) => ({
    insecureSkipVerify: upstreams.get(canonicalHost(host))?.insecureSkipVerify ?? false,
    ca: authorities.get(canonicalHost(host)) ?? null,
  })
  const allowsPlainHTTP = (host: string) => isPlain(upstreams, host)
  return limitedEgress(createEgress({ ...egress, clock, hostSettings, allowsPlainHTTP }), { ...egress, clock })
}

function buildUpstream({ upstreams }: RegistryConfig, egress: Egress, { metrics, tuning }: Tools): RetryingUpstream {
  const { clock, documents, random } = tuning
  const tokens = new TokenCache({ egress, clock, metrics })
  const connect = (host: string) => {
    const baseURL = new URL(`${isPlain(upstreams, host) ? "http" : "https"}://${apiHost(host)}`)
    const endpoint = { baseURL, label: upstreams.has(host) ? host : "other" }
    return new RegistryUpstream(
      new RegistryClient({ endpoint, egress, keychain: keychain(upstreams), tokens, metrics }),
    )
  }
  const upstream = new Upstreams({ layouts: new LayoutUpstream(), connect })
  return new RetryingUpstream(upstream, { ...documents, random, clock, waitMs: upstreamWaitMs(documents.patienceMs) })
}

/** Docker Hub's API is not where its name says. */
const apiHost = (host: string): string => (host === "docker.io" ? "registry-1.docker.io" : host)

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/

const isPlain = (upstreams: RegistryConfig["upstreams"], host: string): boolean =>
  upstreams.get(canonicalHost(host))?.plainHTTP ?? LOOPBACK.test(host)

const keychain =
  (upstreams: RegistryConfig["upstreams"]): Keychain =>
  async ({ host }) => {
    const upstream = upstreams.get(host)
    if (upstream?.username === null || upstream?.username === undefined || upstream.passwordFile === null) return null
    const password = await Bun.file(upstream.passwordFile).text()
    return { username: upstream.username, password: password.replace(/\r?\n$/, "") }
  }

function staticRequest({ type, ref, text }: StaticLayerConfig): LayerRequest {
  if (type === "file") return { kind: "file", path: ref, text }
  if (type === "dir") return { kind: "dir", path: ref, dest: "/", text }
  const reference = parseReference(ref)
  if (reference.kind === "scratch") throw new Error("Cannot add the empty image as a static layer")
  return { kind: "image", reference, text }
}

function splitAddress(address: string): { readonly hostname: string; readonly port: number } {
  const colon = address.lastIndexOf(":")
  const hostname = address.slice(0, colon).replace(/^\[|\]$/g, "")
  return { hostname: hostname === "" ? "0.0.0.0" : hostname, port: Number(address.slice(colon + 1)) }
}
