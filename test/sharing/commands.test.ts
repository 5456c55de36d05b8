import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { crawl } from "../helpers/crawl.ts"
import { startFacade } from "../helpers/facade.ts"
import { eventually } from "../helpers/programs.ts"
import { expectFetches, pullBlob, type SharingLab, sharingNeeds, startSharingLab } from "../helpers/sharing.ts"

setDefaultTimeout(120_000)

const required = sharingNeeds()
describe.skipIf(required.isMissing)(`the compiled program with Kubo and Redis${required.note}`, () => {
  let lab: SharingLab
  beforeAll(async () => {
    lab = await startSharingLab()
  })
  afterAll(async () => await lab?.stop())

  test("ipfs status, unpin, pin and reindex, beside a running facade", async () => {
    const { image, reference } = await lab.add(201)
    const facade = await lab.facade(0, reference)
    await crawl(facade, "one")
    await eventually(async () => ((await lab.redis.cli("KEYS", "rf:1:*:b")).split("\n").length === 3 ? true : null))
    const [digest = ""] = image.layers.map((layer) => layer.digest)
    const cid = await lab.redis.cli("HGET", `rf:1:{${digest}}:b`, "c")
    const isPinned = async () => (await lab.kubos[0].pins()).includes(cid)
    const isIndexed = async () => (await lab.redis.cli("HGET", `rf:1:{${digest}}:b`, "c")) === cid

    const status = JSON.parse((await lab.command(facade, "status")).stdout)
    expect(status).toMatchObject({ isPublic: false, pins: 3, clusterPeer: null })
    expect(status.pinnedBytes).toBe([...image.layers, image.config].reduce((sum, { size }) => sum + size, 0))

    expect(await lab.command(facade, "unpin", digest)).toMatchObject({ code: 0, stdout: `${digest}: removed\n` })
    expect([await isPinned(), await isIndexed()]).toEqual([false, false])
    const again = await lab.command(facade, "unpin", digest)
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining(`Cannot unpin ${digest}`)])

    expect(await lab.command(facade, "pin", digest)).toMatchObject({ code: 0, stdout: `${digest}: added\n` })
    expect([await isPinned(), await isIndexed()]).toEqual([true, true])
    const unknown = `sha256:${"0".repeat(64)}`
    expect((await lab.command(facade, "pin", unknown)).stderr).toContain("the store does not have it; pull it first")

    await lab.redis.cli("FLUSHALL")
    const { stdout } = await lab.command(facade, "reindex")
    expect(stdout).toMatch(/^[0-3] blobs put back into the index\n$/) // the facade does so, too
    expect(await isIndexed()).toBe(true)
  })

  test("a command says what is wrong when the node is not there", async () => {
    const facade = await lab.facade(0, "x/y:1", { ipfs: { enabled: true, ipfsAddr: "/ip4/127.0.0.1/tcp/1" } })

    const { code, stderr } = await lab.command(facade, "status")
    expect(code).toBe(1)
    expect(stderr).toContain("Cannot ask the IPFS node at 127.0.0.1:1 what is pinned: ")
  })

  test("$IPFS_HOST stands for the host of the node", async () => {
    const { image, reference } = await lab.add(202)
    const { port: api } = new URL(lab.kubos[0].api)
    const { port: gateway } = new URL(lab.kubos[0].gateway)
    const facade = await startFacade({
      mode: "binary",
      env: { IPFS_HOST: "127.0.0.1" },
      specs: { one: { baseRef: reference } },
      registry: {
        redis: { enabled: true, singleHostAddr: lab.redis.addr },
        ipfs: { enabled: true, ipfsAddr: `/ip4/$IPFS_HOST/tcp/${api}`, gatewayAddr: `http://$IPFS_HOST:${gateway}` },
      },
    })
    await crawl(facade, "one")
    await lab.shared(image)
    await facade.stop()
  })

  test("a gateway that is called localhost is read, though it would send everybody on", async () => {
    const { image, reference } = await lab.add(203)
    await crawl(await lab.facade(0, reference), "one")
    await lab.shared(image)
    const { port } = new URL(lab.kubos[1].gateway)
    const facade = await lab.facade(1, reference, {
      ipfs: { ...lab.kubos[1].config, gatewayAddr: `http://localhost:${port}` },
    })

    for (const { digest } of image.layers) await pullBlob(facade, digest)
    expectFetches(lab, image.layers, 1)
  })

  test("a node that is killed while it fetches holds the other up for no longer than its turn", async () => {
    const { image, reference } = await lab.add(204)
    const digest = image.layers[1]?.digest ?? ""
    const [first, second] = await Promise.all([lab.facade(0, reference), lab.facade(1, reference)])
    for (const node of [first, second]) await node.get("/v2/fixed/one/manifests/latest")
    let isHanging = true
    lab.upstream.roles.push(async (_, url) => {
      if (!isHanging || !url.pathname.endsWith(digest)) return null
      return await new Promise<null>(() => {})
    })
    const lost = pullBlob(first, digest).catch(() => null)
    await eventually(async () => ((await lab.redis.cli("EXISTS", `rf:1:{${digest}}:l`)) === "1" ? true : null))
    await eventually(async () => (lab.fetches(digest) > 0 ? true : null))
    process.kill(first.pid ?? 0, "SIGKILL")
    isHanging = false

    expect(await pullBlob(second, digest)).toBeLessThan(16_000)
    await lost
    lab.upstream.roles.pop()
  })

  test("a larger image that two nodes pull at once leaves its upstream once", async () => {
    const { image, reference } = await lab.add(205, 60_000_000)
    const nodes = await Promise.all([lab.facade(0, reference), lab.facade(1, reference)])

    await Promise.all(nodes.map((node) => crawl(node, "one")))
    expectFetches(lab, image.layers, 1)
  })
})
