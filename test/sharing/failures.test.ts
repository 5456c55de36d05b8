import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { crawl } from "../helpers/crawl.ts"
import type { RunningFacade } from "../helpers/facade.ts"
import type { TestImage } from "../helpers/images.ts"
import { eventually } from "../helpers/programs.ts"
import { type RedisServer, startRedis, startRedisSentinel } from "../helpers/redis-server.ts"
import { expectFetches, pullBlob, type SharingLab, sharingNeeds, startSharingLab } from "../helpers/sharing.ts"

setDefaultTimeout(120_000)

/** What a dependency may cost the first pull that meets its trouble, on a machine that has other work, too. */
const BOUND_MS = 4000

interface Shared {
  readonly node: RunningFacade
  readonly image: TestImage
  readonly reference: string
}

/** A body whose second half comes when something has happened. */
function halfUntil(bytes: Uint8Array<ArrayBuffer>, happened: Promise<void>): Response {
  const half = bytes.byteLength / 2
  const body = new ReadableStream<Uint8Array>({
    start: async (controller) => {
      controller.enqueue(bytes.subarray(0, half))
      await happened
      controller.enqueue(bytes.subarray(half))
      controller.close()
    },
  })
  return new Response(body)
}

const required = sharingNeeds()
describe.skipIf(required.isMissing)(`a pull does not depend on Redis and Kubo${required.note}`, () => {
  let lab: SharingLab
  let number = 0
  beforeAll(async () => {
    lab = await startSharingLab()
  })
  const servers: RedisServer[] = []
  afterAll(async () => {
    for (const server of servers) await server.stop()
    await lab?.stop()
  })

  /** An image that node 0 has shared, and a fresh facade on node 1 that has composed it but has none of its layers. */
  async function sharedImage(): Promise<Shared> {
    number += 1
    const { image, reference } = await lab.add(number)
    const other = await lab.facade(0, reference)
    await crawl(other, "one")
    await lab.shared(image)
    await eventually(async () => ((await lab.redis.cli("KEYS", "rf:1:*:l")) === "" ? true : null))
    await other.stop() // it would put right what is wrong in the index
    const node = await lab.facade(1, reference)
    await node.get("/v2/fixed/one/manifests/latest")
    return { node, image, reference }
  }

  async function expectPulled(node: RunningFacade, image: TestImage): Promise<void> {
    for (const { digest } of image.layers) expect(await pullBlob(node, digest)).toBeLessThan(BOUND_MS)
  }

  /** Pulls all layers, each within 2 s of what it takes a facade that shares nothing. They come from the upstream. */
  async function expectDelayed({ image, node, reference }: Shared): Promise<void> {
    const alone = await lab.facade(1, reference, { redis: { enabled: false }, ipfs: { enabled: false } })
    await alone.get("/v2/fixed/one/manifests/latest")
    for (const { digest } of image.layers) {
      const before = lab.fetches(digest)
      const undisturbed = await pullBlob(alone, digest)
      expect((await pullBlob(node, digest)) - undisturbed).toBeLessThan(2000)
      expectFetches(lab, [{ digest }], before + 2)
    }
  }

  test("D-9: Kubo is dead", async () => {
    const shared = await sharedImage()
    await lab.kubos[1].kill()

    await expectDelayed(shared)
    await lab.kubos[1].start()
    await lab.kubos[1].connect(lab.kubos[0])
  })

  test("H6: Kubo hangs", async () => {
    const { image, node } = await sharedImage()
    lab.kubos[1].freeze()

    await expectPulled(node, image)
    lab.kubos[1].thaw()
  })

  test("D-10: nobody has the content any more", async () => {
    const shared = await sharedImage()
    await lab.kubos[0].kill()

    await expectDelayed(shared)
    await lab.kubos[0].start()
    await lab.kubos[1].connect(lab.kubos[0])
  })

  test.each([
    ["of the same length", 0],
    ["of another length", 1],
  ])("D-8, H4: the index names other content %s", async (_, more) => {
    const { image, node } = await sharedImage()
    const file = `${node.dir}/wrong`
    const wrong: string[] = []
    for (const { digest, size } of image.layers) {
      await Bun.write(file, "x".repeat(size + more))
      const cid = await lab.kubos[1].add(file, { "cid-version": "1", "raw-leaves": "true" })
      wrong.push(cid)
      await lab.redis.cli("HSET", `rf:1:{${digest}}:b`, "c", cid)
      await lab.redis.cli("SET", digest, cid)
    }

    await expectPulled(node, image)
    expectFetches(lab, image.layers, 2)
    const mismatches = await lab.metric(node, 'integrity_failures_total{source="ipfs"}')
    expect(mismatches).toBe(more === 0 ? image.layers.length : 0)
    await eventually(async () => {
      const ours = image.layers.map(({ digest }) => lab.redis.cli("HGET", `rf:1:{${digest}}:b`, "c"))
      const originals = image.layers.map(({ digest }) => lab.redis.cli("GET", digest))
      const cids = await Promise.all([...ours, ...originals])
      return cids.some((cid) => wrong.includes(cid)) ? null : true
    })
  })

  test("H4: the index names no content at all", async () => {
    const { image, node } = await sharedImage()
    for (const { digest } of image.layers) await lab.redis.cli("HSET", `rf:1:{${digest}}:b`, "c", "../../etc/passwd")
    for (const { digest } of image.layers) await lab.redis.cli("SET", digest, "no CID")

    await expectPulled(node, image)
  })

  test("D-11, H2: Redis hangs", async () => {
    const { image, node } = await sharedImage()
    lab.redis.freeze()

    await expectPulled(node, image)
    lab.redis.thaw()
  })

  test("H2: Redis hangs now and then; what is on disk is served as if it were not there", async () => {
    const { image, node } = await sharedImage()
    await expectPulled(node, image)
    for (let round = 0; round < 5; round += 1) {
      lab.redis.freeze()
      await expectPulled(node, image)
      lab.redis.thaw()
      await expectPulled(node, image)
    }
  })

  test("D-11: Redis dies in the middle of a pull; the metric says so", async () => {
    number += 1
    const { image, reference } = await lab.add(number)
    const redis = await startRedis()
    servers.push(redis)
    const node = await lab.facade(1, reference, { redis: { enabled: true, singleHostAddr: redis.addr } })
    await node.get("/v2/fixed/one/manifests/latest")
    const { bytes, digest } = image.layers[1] ?? image.config
    const { promise: isDead, resolve: died } = Promise.withResolvers<void>()
    lab.upstream.roles.push((_, url) => (url.pathname.endsWith(digest) ? halfUntil(bytes, isDead) : null))

    const pulled = pullBlob(node, digest)
    await eventually(async () => (lab.fetches(digest) > 0 ? true : null))
    await redis.stop()
    died()
    await pulled
    lab.upstream.roles.pop()
    await eventually(async () => {
      await node.get("/v2/fixed/one/manifests/latest")
      return (await lab.metric(node, 'breaker_open{dependency="redis"}')) === 1 ? true : null
    })
  })

  test("H3: Redis is flushed", async () => {
    const { image, node } = await sharedImage()
    await lab.redis.cli("FLUSHALL")

    await expectPulled(node, image)
  })

  test("H3: Redis takes nothing", async () => {
    const { image, node } = await sharedImage()
    await lab.redis.cli("REPLICAOF", "127.0.0.1", "1")

    await expectPulled(node, image)
    await lab.redis.cli("REPLICAOF", "NO", "ONE")
  })

  test("H3: Redis has no memory left", async () => {
    const { image, node } = await sharedImage()
    await lab.redis.cli("CONFIG", "SET", "maxmemory", "1")

    await expectPulled(node, image)
    await lab.redis.cli("CONFIG", "SET", "maxmemory", "0")
  })

  test("H3: Redis throws out whatever it likes", async () => {
    const { image, node } = await sharedImage()
    await lab.redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    await lab.redis.cli("CONFIG", "SET", "maxmemory", "1")

    await expectPulled(node, image)
    await lab.redis.cli("CONFIG", "SET", "maxmemory", "0")
    await lab.redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
  })

  test("H3: the master of Redis dies, and a replica takes its place", async () => {
    number += 1
    const { image, reference } = await lab.add(number)
    const { master, replica, sentinel } = await startRedisSentinel("main")
    servers.push(master, replica, sentinel)
    const node = await lab.facade(1, reference, {
      redis: { enabled: true, sentinel: { master: "main", addrs: [sentinel.addr] } },
    })
    await node.get("/v2/fixed/one/manifests/latest")
    await eventually(async () => ((await master.cli("EXISTS", `nfo.${image.manifest.digest}`)) === "1" ? true : null))
    await master.stop()

    await expectPulled(node, image)
    await eventually(async () => ((await replica.cli("SET", "x", "it is the master")) === "OK" ? true : null), 30_000)
    await replica.cli("DEL", `resolve.${reference}`)
    const images = [image, (await lab.add(900 + number)).image]
    await eventually(async () => {
      const [now = image] = images.reverse()
      lab.upstream.add(`lab/sample${number}`, "1", now) // a tag that moves is told to all nodes
      await node.get("/v2/fixed/one/manifests/latest")
      return (await replica.cli("EXISTS", `resolve.${reference}`)) === "1" ? true : null
    }, 60_000)
  })

  test("D-11, H1: Redis is not there when the process starts", async () => {
    number += 1
    const { image, reference } = await lab.add(number)
    const node = await lab.facade(1, reference, { redis: { enabled: true, singleHostAddr: "127.0.0.1:1" } })

    await crawl(node, "one")
    expect(lab.fetches(image.layers[1]?.digest ?? "")).toBe(1)
    await eventually(async () => ((await lab.metric(node, 'breaker_open{dependency="redis"}')) === 1 ? true : null))
  })

  test("H7: layers are not added to a node that strangers can find", async () => {
    number += 1
    const { image, reference } = await lab.add(number)
    await lab.kubos[0].configure("Routing.Type", "auto")
    await lab.kubos[0].configure("Bootstrap", [
      "/dnsaddr/bootstrap.invalid/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN",
    ])
    const node = await lab.facade(0, reference)
    await crawl(node, "one")

    await eventually(async () => (node.logs.some(({ message }) => /looks public/.test(String(message))) ? true : null))
    const keys = await lab.redis.cli("KEYS", "rf:1:*:b")
    expect(image.layers.filter(({ digest }) => keys.includes(digest))).toEqual([])
  })
})
