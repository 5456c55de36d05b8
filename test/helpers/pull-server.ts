import { readdirSync } from "node:fs"
import { basename, join } from "node:path"
import { type Mode, type RunningFacade, startFacade } from "./facade.ts"
import type { Content, TestImage, TestIndex } from "./images.ts"
import { type RawAnswer, rawRequest } from "./raw-http.ts"
import { until } from "./until.ts"
import { startUpstream, type UpstreamServer } from "./upstream-server.ts"

export interface PullServerOptions {
  readonly mode: Mode
  /** By the name that each is served under, below `fixed/`. */
  readonly images?: Readonly<Record<string, TestImage | TestIndex>>
  /** More names, for which the upstream has nothing. */
  readonly specs?: (upstreamHost: string) => Readonly<Record<string, unknown>>
  /** The configuration's `upstreams`. */
  readonly upstreams?: (upstreamHost: string) => Readonly<Record<string, unknown>>
  readonly registry?: Readonly<Record<string, unknown>>
  readonly config?: Readonly<Record<string, unknown>>
}

export interface PullServer {
  readonly upstream: UpstreamServer
  readonly facade: RunningFacade
  /** One request as text, one answer as it was sent; the path goes out as it is. */
  raw(method: string, path: string, headers?: Readonly<Record<string, string>>): Promise<RawAnswer>
  /** Gets a blob, and waits until the store has it. */
  warm(name: string, blob: Content): Promise<void>
  /** Waits until a path has this status, as after a change of the specs. */
  eventually(path: string, status: number): Promise<void>
  /** Requests that the upstream has seen for a path that holds this. */
  asked(part: string): number
  stop(): Promise<void>
}

/** A facade whose names are each the image of the same name at an upstream, as it is. */
export async function startPullServer(options: PullServerOptions): Promise<PullServer> {
  const upstream = startUpstream()
  const images = Object.entries(options.images ?? {})
  for (const [name, image] of images) upstream.add(`lab/${name}`, "1", image)
  const own = Object.fromEntries(images.map(([name]) => [name, { baseRef: `${upstream.host}/lab/${name}:1` }]))
  const facade = await startFacade({
    mode: options.mode,
    specs: { ...own, ...options.specs?.(upstream.host) },
    registry: { upstreams: options.upstreams?.(upstream.host) ?? {}, ...options.registry },
    config: options.config ?? {},
  })
  return {
    upstream,
    facade,
    raw: async (method, path, headers = {}) => {
      const lines = Object.entries({ Host: facade.host, ...headers }).map(([name, value]) => `${name}: ${value}`)
      return await rawRequest(facade.host, [`${method} ${path} HTTP/1.1`, ...lines])
    },
    warm: async (name, { digest }) => {
      await (await facade.get(`/v2/fixed/${name}/blobs/${digest}`)).arrayBuffer()
      await until(() => storedNames(facade.dir).has(digest.slice(7)))
    },
    eventually: async (path, status) => {
      await until(async () => (await facade.get(path, { method: "HEAD" })).status === status)
    },
    asked: (part) => upstream.seen.filter(({ path }) => path.includes(part)).length,
    stop: async () => {
      await facade.stop()
      upstream.stop()
    },
  }
}

const storedNames = (dir: string): ReadonlySet<string> =>
  new Set(readdirSync(join(dir, "store"), { recursive: true, encoding: "utf8" }).map((path) => basename(path)))

export interface ErrorBody {
  readonly errors: readonly { readonly code: string; readonly message: string; readonly detail?: string }[]
}

export const errorsOf = (answer: RawAnswer): ErrorBody["errors"] =>
  (JSON.parse(answer.body.toString()) as ErrorBody).errors
