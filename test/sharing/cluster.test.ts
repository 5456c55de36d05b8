import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type Cid, parseCid } from "../../src/ipfs/cid.ts"
import { IpfsCluster } from "../../src/ipfs/cluster.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { crawl } from "../helpers/crawl.ts"
import { testEgress } from "../helpers/egress.ts"
import type { RunningFacade } from "../helpers/facade.ts"
import type { TestImage } from "../helpers/images.ts"
import { type ClusterPeer, startIpfsCluster } from "../helpers/ipfs-cluster.ts"
import { needsKubo } from "../helpers/kubo.ts"
import { never } from "../helpers/layers.ts"
import { eventually } from "../helpers/programs.ts"
import { pullBlob, type SharingLab, startSharingLab } from "../helpers/sharing.ts"

setDefaultTimeout(180_000)

const required = needsKubo("redis-server", "ipfs-cluster-service")
describe.skipIf(required.isMissing)(`an IPFS Cluster of two peers${required.note}`, () => {
  let lab: SharingLab
  let peers: readonly ClusterPeer[]
  let number = 100
  const running: RunningFacade[] = []
  beforeAll(async () => {
    lab = await startSharingLab()
    peers = await startIpfsCluster(lab.kubos)
  }, 120_000)
  // They look after the same node, and would ask for replicas of each other's blobs
  afterEach(async () => {
    for (const facade of running.splice(0)) await facade.stop()
  })
  afterAll(async () => {
    for (const peer of peers ?? []) await peer.kill()
    await lab?.stop()
  })

  const peer = (index: 0 | 1): ClusterPeer => {
    const found = peers[index]
    if (found === undefined) throw new Error("There are two")
    return found
  }

  async function pulled(
    ipfs: Readonly<Record<string, unknown>> = {},
  ): Promise<{ readonly facade: RunningFacade; readonly image: TestImage; readonly cids: readonly string[] }> {
    number += 1
    const { image, reference } = await lab.add(number)
    const cluster = { url: peer(0).url, replicationMin: 1, replicationMax: 2, expireIn: "720h" }
    const facade = await lab.facade(0, reference, { ipfs: { ...lab.kubos[0].config, cluster, ...ipfs } })
    running.push(facade)
    await crawl(facade, "one")
    await lab.shared(image)
    const cids = await Promise.all(
      image.layers.map(async ({ digest }) => await lab.redis.cli("HGET", `rf:1:{${digest}}:b`, "c")),
    )
    return { facade, image, cids }
  }

  const bothHave = async (cid: string): Promise<void> => {
    for (const { statuses } of peers) {
      await eventually(async () => {
        const all = Object.values(await statuses(cid))
        return all.length === 2 && all.every((status) => status === "pinned") ? true : null
      }, 60_000)
    }
  }

  test("what a node has pulled is pinned by both peers, under our name, until it expires", async () => {
    const { cids, image } = await pulled()

    for (const [index, cid] of cids.entries()) {
      await bothHave(cid)
      const { digest, mediaType, size } = image.layers[index] ?? {}
      const pin = await peer(1).pin(cid)
      expect(pin).toMatchObject({
        name: `rf/default/${digest}/${size}`,
        replication_factor_min: 1,
        replication_factor_max: 2,
        metadata: { digest, mediatype: mediaType, size: `${size}` },
      })
      expect(pin?.["allocations"]).toContain(peer(0).id)
      const days = (Date.parse(String(pin?.["expire_at"])) - Date.now()) / 86_400_000
      expect(Math.round(days)).toBe(30)
      expect(await lab.kubos[1].pins()).toContain(cid)
    }
  })

  test("one replica is the node's own", async () => {
    const cluster = { url: peer(0).url, replicationMin: 1, replicationMax: 1 }
    const { cids } = await pulled({ cluster })

    for (const cid of cids) {
      await eventually(async () => ((await peer(0).statuses(cid))["c0"] === "pinned" ? true : null))
      expect((await peer(1).pin(cid))?.["allocations"]).toEqual([peer(0).id])
      expect(await lab.kubos[0].pins()).toContain(cid)
    }
  })

  test("asking again extends the time of replicas", async () => {
    const { cids, image } = await pulled()
    const [cid = ""] = cids
    const [layer] = image.layers
    const expires = async () => Date.parse(String((await peer(0).pin(cid))?.["expire_at"]))
    const before = await expires()
    const url = new URL(peer(0).url)
    const cluster = new IpfsCluster({
      url,
      replicationMin: 1,
      replicationMax: 2,
      expireInMs: 60 * 86_400_000,
      egress: testEgress(),
    })
    if (layer === undefined) throw new Error("There are layers")
    await cluster.pin(parseCid(cid) as Cid, "again", { ...layer, digest: parseDigest(layer.digest) }, never)

    expect(Math.round(((await expires()) - before) / 86_400_000)).toBe(30)
  })

  test("ipfs unpin takes it from both", async () => {
    const { cids, facade, image } = await pulled()
    const [cid = ""] = cids
    await bothHave(cid)

    await facade.stop()
    const { code } = await lab.command(facade, "unpin", image.layers[0]?.digest ?? "")
    expect(code).toBe(0)
    await eventually(async () => ((await peer(1).pin(cid)) === null ? true : null), 60_000)
    for (const kubo of lab.kubos) {
      await eventually(async () => ((await kubo.pins()).includes(cid) ? null : true), 60_000)
    }
  })

  test("as long as it is down, pulls work and layers are shared; then it is asked for replicas", async () => {
    const cluster = { url: peer(0).url, replicationMin: 2, replicationMax: 2 }
    await peer(0).kill()
    const { cids, facade, image } = await pulled({ cluster })
    const other = await lab.facade(1, `${lab.upstream.host}/lab/sample${number}:1`)
    for (const { digest } of image.layers) await pullBlob(other, digest)
    expect(image.layers.map(({ digest }) => lab.fetches(digest))).toEqual([1, 1])

    await peer(0).start()
    await facade.stop()
    const again = await lab.facade(
      0,
      `${lab.upstream.host}/lab/sample${number}:1`,
      { ipfs: { ...lab.kubos[0].config, cluster } },
      facade.dir,
    )
    expect((await again.get("/v2/")).status).toBe(200)
    for (const cid of cids) await bothHave(cid)
  })

  test("its proxy is an address of the node", async () => {
    const { cids, image } = await pulled({ ipfsAddr: peer(0).proxy, cluster: undefined })

    for (const cid of cids)
      await eventually(async () => ((await peer(1).statuses(cid))["c0"] === "pinned" ? true : null), 60_000)
    const other = await lab.facade(1, `${lab.upstream.host}/lab/sample${number}:1`, {
      ipfs: { ...lab.kubos[1].config, ipfsAddr: peer(1).proxy },
    })
    for (const { digest } of image.layers) await pullBlob(other, digest)
    expect(image.layers.map(({ digest }) => lab.fetches(digest))).toEqual([1, 1])
  })
})
