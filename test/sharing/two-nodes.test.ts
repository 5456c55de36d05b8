import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { crawl } from "../helpers/crawl.ts"
import { isHelia } from "../helpers/kubo.ts"
import { eventually } from "../helpers/programs.ts"
import { expectFetches, pullBlob, type SharingLab, sharingNeeds, startSharingLab } from "../helpers/sharing.ts"

setDefaultTimeout(120_000)

const required = sharingNeeds()
describe.skipIf(required.isMissing)(`two nodes with Kubo and Redis${required.note}`, () => {
  let lab: SharingLab
  beforeAll(async () => {
    lab = await startSharingLab()
  })
  afterAll(async () => await lab?.stop())

  const isBlob = ({ path }: { readonly path: string }) => path.includes("/blobs/")

  test("A-8, H8: what one has pulled, the other serves with the upstream stopped", async () => {
    const { image, reference } = await lab.add(1)
    const first = await lab.facade(0, reference)
    const pulled = await crawl(first, "one")
    await lab.shared(image)
    const before = lab.upstream.seen.length
    lab.upstream.roles.push(() => new Response("down", { status: 503 }))
    const second = await lab.facade(1, reference)

    const again = await crawl(second, "one").finally(() => lab.upstream.roles.pop())

    expect(again).toEqual(pulled)
    expectFetches(lab, image.layers, 1)
    if (!isHelia) expect(lab.upstream.seen.slice(before).filter(isBlob)).toEqual([])
  })

  test("nodes that pull at once cost the upstream one transfer of each blob", async () => {
    const { image, reference } = await lab.add(2)
    const nodes = await Promise.all([lab.facade(0, reference), lab.facade(1, reference)])

    const [one, two] = await Promise.all(nodes.map((node) => crawl(node, "one")))

    expect(one).toEqual(two as NonNullable<typeof two>)
    expectFetches(lab, image.layers, 1)
  })

  test("C-9: a node serves what the original's fleet has put into Redis and Kubo", async () => {
    const { image, reference } = await lab.add(3)
    for (const { bytes, digest, mediaType } of image.layers) {
      const file = `${(await lab.facade(0, reference)).dir}/blob`
      await Bun.write(file, bytes)
      const cid = await lab.kubos[0].add(file, { "cid-version": "1", "raw-leaves": "true" })
      await lab.redis.cli("MSET", digest, cid, `mtype:${digest}`, mediaType)
    }
    const node = await lab.facade(1, reference)

    for (const { digest } of image.layers) await pullBlob(node, digest)
    expectFetches(lab, image.layers, 0)
  })

  test("the original's fleet finds what a node has shared", async () => {
    const { image, reference } = await lab.add(4)
    const node = await lab.facade(0, reference)
    await crawl(node, "one")
    await lab.shared(image)

    for (const { bytes, digest, mediaType } of image.layers) {
      const cid = await eventually(async () => (await lab.redis.cli("GET", digest)) || null)
      expect(Buffer.compare(await lab.kubos[1].read(cid), bytes)).toBe(0)
      expect(await lab.redis.cli("GET", `mtype:${digest}`)).toBe(mediaType)
    }
    const { digest, size, mediaType } = image.manifest
    expect(JSON.parse(await lab.redis.cli("GET", `nfo.${digest}`))).toMatchObject({ Digest: digest, Size: size })
    expect(JSON.parse(await lab.redis.cli("GET", `resolve.${reference}`))).toEqual({
      Name: reference,
      Desc: { mediaType, digest, size },
    })
  })

  test("the index is made again from the pins after Redis has lost everything", async () => {
    const { image, reference } = await lab.add(5)
    await crawl(await lab.facade(0, reference), "one")
    await lab.shared(image)
    await lab.redis.cli("FLUSHALL")

    await lab.facade(0, reference)
    await lab.shared(image)
  })
})
