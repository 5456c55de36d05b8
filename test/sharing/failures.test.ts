import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { crawl } from "../helpers/crawl.ts"
import type { RunningFacade } from "../helpers/facade.ts"
import type { TestImage } from "../helpers/images.ts"
import { eventually } from "../helpers/programs.ts"
import { pullBlob, type SharingLab, sharingNeeds, startSharingLab } from "../helpers/sharing.ts"

setDefaultTimeout(120_000)

/** What a dependency may cost the first pull that meets its trouble, on a machine that has other work, too. */
const BOUND_MS = 4000

const required = sharingNeeds()
describe.skipIf(required.isMissing)(`a pull does not depend on Redis and Kubo${required.note}`, () => {
  let lab: SharingLab
  let number = 0
  beforeAll(async () => {
    lab = await startSharingLab()
  })
  afterAll(async () => await lab?.stop())

  /** An image that node 0 has shared, and a fresh facade on node 1 that has composed it but has none of its layers. */
  async function sharedImage(): Promise<{ readonly node: RunningFacade; readonly image: TestImage }> {
    number += 1
    const { image, reference } = await lab.add(number)
    await crawl(await lab.facade(0, reference), "one")
    await lab.shared(image)
    const node = await lab.facade(1, reference)
    await node.get("/v2/fixed/one/manifests/latest")
    return { node, image }
  }

  async function expectPulled(node: RunningFacade, image: TestImage): Promise<void> {
    for (const { digest } of image.layers) expect(await pullBlob(node, digest)).toBeLessThan(BOUND_MS)
  }

  test("D-9: Kubo is dead", async () => {
    const { image, node } = await sharedImage()
    await lab.kubos[1].kill()

    await expectPulled(node, image)
    expect(lab.fetches(image.layers[1]?.digest ?? "")).toBe(2)
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
    const { image, node } = await sharedImage()
    await lab.kubos[0].kill()

    await expectPulled(node, image)
    await lab.kubos[0].start()
    await lab.kubos[1].connect(lab.kubos[0])
  })

  test("D-8, H4: the index names other content", async () => {
    const { image, node } = await sharedImage()
    const file = `${node.dir}/wrong`
    await Bun.write(file, "x".repeat(12_000_000))
    const wrong = await lab.kubos[1].add(file, { "cid-version": "1", "raw-leaves": "true" })
    const keys = image.layers.map(({ digest }) => `rf:1:{${digest}}:b`)
    for (const key of keys) await lab.redis.cli("HSET", key, "c", wrong)

    await expectPulled(node, image)
    await eventually(async () => {
      const cids = await Promise.all(keys.map((key) => lab.redis.cli("HGET", key, "c")))
      return cids.every((cid) => cid !== wrong) ? true : null
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

  test("D-11, H1: Redis is not there when the process starts", async () => {
    number += 1
    const { image, reference } = await lab.add(number)
    const node = await lab.facade(1, reference, { redis: { enabled: true, singleHostAddr: "127.0.0.1:1" } })

    await crawl(node, "one")
    expect(lab.fetches(image.layers[1]?.digest ?? "")).toBe(1)
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
