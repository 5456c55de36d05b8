import { expect } from "bun:test"
import { BINARY, type RunningFacade, startFacade } from "./facade.ts"
import { freePort } from "./free-port.ts"
import { type Content, image, layer, sha256, type TestImage } from "./images.ts"
import { isHelia, type KuboNode, needsNode, newSwarmKey, startKubo } from "./kubo.ts"
import { scrape } from "./metrics.ts"
import { eventually, type Outcome, run } from "./programs.ts"
import { type RedisServer, startRedis } from "./redis-server.ts"
import { tempDir } from "./temp-dir.ts"
import { startUpstream, type UpstreamServer } from "./upstream-server.ts"

/** Two nodes with a Kubo each in one private network, one Redis, and an upstream that counts. */
export interface SharingLab {
  readonly redis: RedisServer
  readonly kubos: readonly [KuboNode, KuboNode]
  readonly upstream: UpstreamServer
  /** A facade with a fresh store on one of the nodes; `image` is what it serves as `fixed/one`. */
  facade(node: 0 | 1, image: string, registry?: Readonly<Record<string, unknown>>, dir?: string): Promise<RunningFacade>
  /** Runs `ipfs VERB` of the compiled binary with the configuration of a facade, which may be running. */
  command(facade: RunningFacade, verb: string, ...args: readonly string[]): Promise<Outcome>
  /** Adds an image to the upstream, different for every number, with a large and a small layer. Gives its reference. */
  add(number: number, bytes?: number): Promise<{ readonly reference: string; readonly image: TestImage }>
  /** Waits until all layers can be had through the index. */
  shared(image: TestImage): Promise<void>
  /** Bytes that the upstream has sent of a blob. */
  fetches(digest: string): number
  /** One of its metrics, without the product's prefix. */
  metric(facade: RunningFacade, name: string): Promise<number>
  stop(): Promise<void>
}

export const sharingNeeds = () => needsNode("redis-server")

export async function startSharingLab(): Promise<SharingLab> {
  const swarmKey = newSwarmKey()
  const [redis, one, two] = await Promise.all([startRedis(), startKubo({ swarmKey }), startKubo({ swarmKey })])
  await one.connect(two)
  await passes(one, two, 70_001)
  await passes(two, one, 70_002)
  const upstream = startUpstream()
  const running: RunningFacade[] = []
  const metrics = new Map<RunningFacade, string>()
  const kubos = [one, two] as const
  return {
    redis,
    kubos,
    upstream,
    facade: async (node, reference, registry = {}, dir = tempDir()) => {
      const prometheusAddr = `127.0.0.1:${freePort()}`
      const started = await startFacade({
        mode: "binary",
        config: { prometheusAddr },
        dir,
        specs: { one: { baseRef: reference } },
        registry: {
          redis: { enabled: true, singleHostAddr: redis.addr },
          ipfs: kubos[node].config,
          tagTTL: "1s",
          ...registry,
        },
      })
      running.push(started)
      metrics.set(started, prometheusAddr)
      return started
    },
    command: async ({ dir }, verb, ...args) => await run([BINARY, "ipfs", verb, `${dir}/config.json`, ...args]),
    add: async (number, bytes = 12_000_000) => {
      const sample = await image({
        layers: [await layer({ small: `small ${number}` }), await layer({ big: noise(number, bytes) }, "plain")],
      })
      upstream.add(`lab/sample${number}`, "1", sample)
      return { reference: `${upstream.host}/lab/sample${number}:1`, image: sample }
    },
    shared: async ({ layers }) => {
      await eventually(async () => {
        const keys = await redis.cli("KEYS", "rf:1:*:b")
        return layers.every(({ digest }) => keys.includes(digest)) ? true : null
      }, 30_000)
    },
    fetches: (digest) =>
      upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(`/blobs/${digest}`)).length,
    metric: async (facade, name) => (await scrape(metrics.get(facade) ?? ""))(name),
    stop: async () => {
      await Promise.all(running.map((facade) => facade.stop()))
      redis.thaw()
      for (const kubo of kubos) kubo.thaw()
      await Promise.all(kubos.map((kubo) => kubo.kill()))
      await redis.stop()
      upstream.stop()
    },
  }
}

/** The first content that passes takes a node longer than all that follows, and tests are of those. */
async function passes(from: KuboNode, to: KuboNode, seed: number): Promise<void> {
  const path = `${tempDir()}/first`
  await Bun.write(path, noise(seed, 3_000_000))
  await to.read(await from.add(path, { "cid-version": "1", "raw-leaves": "true", pin: "false" }))
}

/** So often the upstream was asked for each of these; where helia stands in, perhaps once more by each facade. */
export function expectFetches(lab: SharingLab, blobs: readonly Pick<Content, "digest">[], times: number): void {
  const spare = isHelia ? 2 : 0
  for (const { digest } of blobs) {
    const fetches = lab.fetches(digest)
    expect([fetches, fetches >= times && fetches <= times + spare]).toEqual([fetches, true])
  }
}

/** Pulls one blob and says how long it took, in milliseconds. Rejects when the bytes are wrong. */
export async function pullBlob(facade: RunningFacade, digest: string): Promise<number> {
  const startedAt = performance.now()
  const response = await facade.get(`/v2/fixed/one/blobs/${digest}`)
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`${response.status} ${new TextDecoder().decode(bytes.slice(0, 500))}`)
  if (sha256(bytes) !== digest) throw new Error(`${bytes.byteLength} wrong bytes`)
  return performance.now() - startedAt
}

/** Different for every seed, and of no pattern that blocks of it would share. */
export function noise(seed: number, bytes: number): string {
  let state = seed
  return Array.from({ length: bytes / 4 }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return String.fromCharCode(33 + ((state >>> 8) % 90), 33 + ((state >>> 16) % 90), 33 + ((state >>> 3) % 90), 10)
  }).join("")
}
