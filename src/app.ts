import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Downloads } from "./blob/downloads.ts"
import type { Config, RegistryConfig, StaticLayerConfig } from "./config/load.ts"
import type { Egress } from "./egress/egress.ts"
import { createEgress } from "./egress/fetch-egress.ts"
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
import { type Clock, systemClock } from "./lib/clock.ts"
import { parseReference } from "./oci/reference.ts"
import { FixedSpecProvider } from "./spec/fixed.ts"
import { DiskStore } from "./store/disk.ts"
import type { Logger } from "./telemetry/log.ts"
import { createMetrics, type Metrics } from "./telemetry/metrics.ts"
import type { Keychain } from "./upstream/keychain.ts"
import { LayoutUpstream } from "./upstream/layout-upstream.ts"
import { RegistryClient } from "./upstream/registry-client.ts"
import { RegistryUpstream } from "./upstream/registry-upstream.ts"
import { RetryingUpstream, upstreamWaitMs } from "./upstream/retrying-upstream.ts"
import { TokenCache } from "./upstream/token.ts"
import { Upstreams } from "./upstream/upstreams.ts"
import { VERSION } from "./version.ts"

/** The registry without its ports, as `run` and `compose` share it. */
export interface RegistryParts {
  readonly images: Images
  readonly metrics: Metrics
  close(): Promise<void>
}

export interface RunningApp {
  /** Of the registry; null where the configuration has none. */
  readonly registryPort: number | null
  stop(isForced: boolean): Promise<void>
}

const DOWNLOAD_POLICY = {
  perSource: 6,
  baseMs: 50,
  capMs: 5000,
  patienceMs: 120_000,
  random: Math.random,
  verifyFirstBytes: 8 * 1024 * 1024,
  firstByteMs: 25_000,
  lingerMs: 5000,
  concurrency: 256,
  queueMs: 10_000,
  failureMs: 1000,
  distrustMs: 600_000,
}
const DOCUMENT_RETRY = { attempts: 4, baseMs: 50, capMs: 5000, random: Math.random, waitMs: upstreamWaitMs }

/** Builds everything that serves images. Rejects with what people have to correct. */
export async function buildRegistry(config: RegistryConfig, log: Logger): Promise<RegistryParts> {
  const clock = systemClock
  const metrics = createMetrics()
  const directory = await storeDirectory(config, log)
  const store = await DiskStore.create(directory.path, log)
  const downloads = new Downloads({ openSpool: () => store.spool(), policy: DOWNLOAD_POLICY, clock, log, metrics })
  const egress = buildEgress(config, clock)
  const upstream = buildUpstream(config, { egress, clock, metrics })
  const reader = new CachedImages({ upstream, documents: store, downloads, clock, tagTtlMs: config.tagTtlMs })
  const facts = store.facts("layer")
  const workshop = { openSpool: () => store.spool(), facts }
  const layers: LayerSources = {
    file: new FileLayerSource(workshop),
    dir: new DirLayerSource(workshop, clock),
    files: new FilesLayerSource(workshop),
    image: new ImageLayerSource(reader),
    url: new UrlLayerSource({ egress, downloads, store, facts }),
    direct: new DirectLayerSource(),
  }
  const fixed =
    config.fixedSpecs === null ? null : await FixedSpecProvider.create({ path: config.fixedSpecs, clock, log, metrics })
  const staticLayers = config.staticLayers.map(staticRequest)
  const composer = new Composer({ reader, layers, staticLayers, defaultPlatform: config.defaultPlatform, log })
  const providers = fixed === null ? [] : [fixed]
  const images = new Images({ providers, composer, recent: new RecentImages(clock), store, caches: [], downloads })
  const close = async () => {
    fixed?.close()
    downloads.shutdown()
    await directory.remove()
  }
  return { images, metrics, close }
}

/** Opens the ports and serves. Rejects when the configuration or the machine does not allow it. */
export async function startApp(config: Config, log: Logger): Promise<RunningApp> {
  const { registry } = config
  if (registry === null) throw new Error(`Cannot serve ${config.file}: it has no section "registry"`)
  const parts = await buildRegistry(registry, log)
  const { images, metrics } = parts
  const handle = httpApp({ facade: () => images, prefix: registry.prefix, isPrivate: false, version: VERSION, log })
  const listeners: Listener[] = [listen({ hostname: registry.host, port: registry.port, handle, log, metrics })]
  if (config.prometheusAddr !== null) {
    listeners.push(listen({ ...splitAddress(config.prometheusAddr), handle: metricsApp(metrics), log, metrics: null }))
  }
  log.info("HTTP registry server listening", { addr: `${registry.host}:${listeners[0]?.port}` })
  return {
    registryPort: listeners[0]?.port ?? null,
    stop: async (isForced) => {
      await Promise.all(listeners.map((listener) => listener.stop(isForced)))
      await parts.close()
    },
  }
}

/** A configured store, or a directory of this process alone. */
async function storeDirectory({ store }: RegistryConfig, log: Logger) {
  if (store !== null) return { path: store, remove: async () => {} }
  const path = await mkdtemp(join(tmpdir(), "registry-facade-"))
  log.warn('no "store" is configured, blobs are kept until this process ends', { path })
  return { path, remove: async () => await rm(path, { recursive: true, force: true }) }
}

function buildEgress({ upstreams }: RegistryConfig, clock: Clock): Egress {
  const authorities = new Map<string, string>()
  for (const [host, { ca }] of upstreams) if (ca !== null) authorities.set(apiHost(host), readFileSync(ca, "utf8"))
  return createEgress({
    clock,
    firstByteMs: 30_000,
    progressMs: 30_000,
    hostSettings: (host) => ({
      insecureSkipVerify: upstreams.get(host)?.insecureSkipVerify ?? false,
      ca: authorities.get(host) ?? null,
    }),
    allowsPlainHTTP: (host) => isPlain(upstreams, host),
  })
}

interface UpstreamParts {
  readonly egress: Egress
  readonly clock: Clock
  readonly metrics: Metrics
}

function buildUpstream({ upstreams }: RegistryConfig, { egress, clock, metrics }: UpstreamParts): RetryingUpstream {
  const tokens = new TokenCache(egress, clock)
  const connect = (host: string) => {
    const baseURL = new URL(`${isPlain(upstreams, host) ? "http" : "https"}://${apiHost(host)}`)
    const endpoint = { baseURL, label: upstreams.has(host) ? host : "other" }
    return new RegistryUpstream(
      new RegistryClient({ endpoint, egress, keychain: keychain(upstreams), tokens, metrics }),
    )
  }
  return new RetryingUpstream(new Upstreams({ layouts: new LayoutUpstream(), connect }), { ...DOCUMENT_RETRY, clock })
}

/** Docker Hub's API is not where its name says. */
const apiHost = (host: string): string => (host === "docker.io" ? "registry-1.docker.io" : host)

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/

const isPlain = (upstreams: RegistryConfig["upstreams"], host: string): boolean =>
  upstreams.get(host)?.plainHTTP ?? LOOPBACK.test(host)

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
