import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { type FacadeOptions, type RunningFacade, startFacade } from "./facade.ts"
import { type FaultyUpstream, startFaultyUpstream } from "./faulty-upstream.ts"
import { freePort } from "./free-port.ts"
import type { Content, TestImage } from "./images.ts"
import { scrape } from "./metrics.ts"

export interface FaultyFacade {
  readonly upstream: FaultyUpstream
  readonly facade: RunningFacade
  /** The answer with its body; null where the body broke off. */
  pull(blob: Content, init?: RequestInit): Promise<Pulled>
  /** A metric, without the prefix of all. */
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

export interface Pulled {
  readonly status: number
  readonly headers: Headers
  /** Null: it broke off, or was left. */
  readonly body: Buffer | null
}

export interface FaultyFacadeOptions extends FacadeOptions {
  /** By the name that each is served under, below `fixed/`. */
  readonly images: Readonly<Record<string, TestImage>>
  /** One that several facades share; whoever made it stops it. */
  readonly upstream?: FaultyUpstream
}

/** The compiled facade in front of an upstream that fails as it is told to. */
export async function startFaultyFacade({
  images,
  upstream: shared,
  ...options
}: FaultyFacadeOptions): Promise<FaultyFacade> {
  const upstream = shared ?? startFaultyUpstream()
  const specs: Record<string, unknown> = {}
  const names = new Map<string, string>()
  for (const [name, image] of Object.entries(images)) {
    upstream.add(`lab/${name}`, image)
    specs[name] = { baseRef: `${upstream.host}/lab/${name}:1` }
    for (const { digest } of image.blobs) names.set(digest, name)
  }
  const metrics = `127.0.0.1:${freePort()}`
  const facade = await startFacade({
    mode: "binary",
    specs,
    ...options,
    registry: { upstreams: { [upstream.host]: {} }, ...options.registry },
    config: { prometheusAddr: metrics, ...options.config },
  })
  return {
    upstream,
    facade,
    pull: async ({ digest }, init) => await pulled(await facade.get(blobPath(names.get(digest) ?? "", digest), init)),
    metric: async (name) => (await scrape(metrics))(name),
    stop: async () => {
      await facade.stop()
      if (shared === undefined) upstream.stop()
    },
  }
}

export const blobPath = (name: string, digest: string): string => `/v2/fixed/${name}/blobs/${digest}`

async function pulled(response: Response): Promise<Pulled> {
  const body = await response.arrayBuffer().catch(() => null)
  return { status: response.status, headers: response.headers, body: body === null ? null : Buffer.from(body) }
}

/** Digests of the files that a store keeps, whatever is in them. */
export function storedDigests(dir: string): ReadonlySet<string> {
  const root = join(dir, "store/v1/blobs/sha256")
  const shards = existsSync(root) ? readdirSync(root) : []
  return new Set(shards.flatMap((shard) => readdirSync(join(root, shard)).map((name) => `sha256:${name}`)))
}

export const storedPath = (dir: string, digest: string): string =>
  join(dir, "store/v1/blobs/sha256", digest.slice(7, 9), digest.slice(7))
