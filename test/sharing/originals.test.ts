import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { parseCid } from "../../src/ipfs/cid.ts"
import { crawl } from "../helpers/crawl.ts"
import type { RunningFacade } from "../helpers/facade.ts"
import type { Content, TestImage } from "../helpers/images.ts"
import { isHelia } from "../helpers/kubo.ts"
import { eventually } from "../helpers/programs.ts"
import { expectFetches, pullBlob, type SharingLab, sharingNeeds, startSharingLab } from "../helpers/sharing.ts"

setDefaultTimeout(120_000)

const CID_OPTIONS = { "cid-version": "1", "raw-leaves": "true" }

const required = sharingNeeds()
describe.skipIf(required.isMissing)(`beside the original's fleet, the compiled program${required.note}`, () => {
  let lab: SharingLab
  let number = 300
  beforeAll(async () => {
    lab = await startSharingLab()
  })
  afterAll(async () => await lab?.stop())

  /** An image that is named by its digest, so that nothing but its documents has to be asked for. */
  async function newImage(): Promise<{ readonly image: TestImage; readonly reference: string }> {
    number += 1
    const { image } = await lab.add(number)
    return { image, reference: `${lab.upstream.host}/lab/sample${number}@${image.manifest.digest}` }
  }

  const text = ({ bytes }: Content): string => new TextDecoder().decode(bytes)

  /** As the original notes it. */
  const info = ({ digest, mediaType, size }: Content): string =>
    JSON.stringify({
      Digest: digest,
      Size: size,
      CreatedAt: 7899,
      UpdatedAt: 9999,
      Labels: { foo: "bar", "Content-Type": mediaType },
    })

  const keep = async (document: Content, noted = info(document)): Promise<void> => {
    await lab.redis.cli("MSET", `nfo.${document.digest}`, noted, `cnt.${document.digest}`, text(document))
  }

  const asked = ({ digest }: Content): number =>
    lab.upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(digest)).length

  const isWarned = ({ logs }: RunningFacade): boolean =>
    logs.some(({ message }) => message === "Redis holds a document that is not understood")

  test("A-8: serves a blob of the node, though a client left in its midst", async () => {
    const { image, reference } = await newImage()
    const [, layer] = image.layers
    if (layer === undefined) throw new Error("There are two")
    const first = await lab.facade(0, reference)
    await crawl(first, "one")
    await lab.shared(image)
    const second = await lab.facade(1, reference)
    await second.get("/v2/fixed/one/manifests/latest")
    for (let left = 0; left < 2; left += 1) {
      const leaving = new AbortController()
      const response = await second.get(`/v2/fixed/one/blobs/${layer.digest}`, { signal: leaving.signal })
      await response.body?.getReader().read()
      leaving.abort()
    }

    await pullBlob(second, layer.digest)
    expectFetches(lab, [layer], 1)
    const cid = await lab.redis.cli("GET", layer.digest)
    expect(await lab.redis.cli("GET", `mtype:${layer.digest}`)).toBe(layer.mediaType)
    expect(Buffer.compare(await lab.kubos[0].read(cid), layer.bytes)).toBe(0)
  })

  test("A-9: fetches a document that Redis does not know", async () => {
    const { image, reference } = await newImage()
    const node = await lab.facade(0, reference)

    await crawl(node, "one")
    expect([asked(image.manifest), asked(image.config), isWarned(node)]).toEqual([1, 1, false])
  })

  test("A-10: says so when it cannot decode what Redis holds, and fetches it", async () => {
    const { image, reference } = await newImage()
    await keep(image.manifest, "no JSON")
    const node = await lab.facade(0, reference)

    await crawl(node, "one")
    expect([asked(image.manifest), isWarned(node)]).toEqual([1, true])
  })

  test("A-11: uses what the original has noted", async () => {
    const { image, reference } = await newImage()
    await keep(image.manifest)
    await keep(image.config)
    const node = await lab.facade(0, reference)

    await crawl(node, "one")
    expect([asked(image.manifest), asked(image.config), isWarned(node)]).toEqual([0, 0, false])
  })

  test("A-12: writes documents as the original does, once", async () => {
    const { image, reference } = await newImage()
    await crawl(await lab.facade(0, reference), "one")
    const { digest, mediaType, size } = image.manifest
    const noted = await eventually(async () => (await lab.redis.cli("GET", `nfo.${digest}`)) || null)
    const { CreatedAt } = JSON.parse(noted)

    expect(noted).toBe(
      JSON.stringify({
        Digest: digest,
        Size: size,
        CreatedAt,
        UpdatedAt: CreatedAt,
        Labels: { "Content-Type": mediaType },
      }),
    )
    expect(Math.abs(CreatedAt - Date.now() / 1000)).toBeLessThan(60)
    expect(await lab.redis.cli("GET", `cnt.${digest}`)).toBe(text(image.manifest))

    await lab.redis.cli("SET", `nfo.${digest}`, info(image.manifest))
    await crawl(await lab.facade(1, reference), "one")
    expect(await lab.redis.cli("GET", `nfo.${digest}`)).toBe(info(image.manifest))
  })

  test("C-9: serves an image that the original's fleet has put into Redis and Kubo, with the upstream stopped", async () => {
    const { image, reference } = await newImage()
    const file = `${lab.kubos[0].dir}/layer`
    for (const { bytes, digest, mediaType } of image.layers) {
      await Bun.write(file, bytes)
      await lab.redis.cli("MSET", digest, await lab.kubos[0].add(file, CID_OPTIONS), `mtype:${digest}`, mediaType)
    }
    await keep(image.manifest)
    await keep(image.config)
    const before = lab.upstream.seen.length
    lab.upstream.roles.push(() => new Response("stopped", { status: 503 }))
    const node = await lab.facade(1, reference)

    const { manifests } = await crawl(node, "one").finally(() => lab.upstream.roles.pop())
    expect(manifests.flatMap(({ layers }) => layers.map(({ digest, mediaType }) => [digest, mediaType]))).toEqual(
      image.layers.map(({ digest, mediaType }) => [digest, mediaType]),
    )
    if (!isHelia) expect(lab.upstream.seen.slice(before)).toEqual([])
  })

  test("C-9: leaves in Redis and Kubo what the original's fleet finds there", async () => {
    const { image, reference } = await newImage()
    await crawl(await lab.facade(0, reference), "one")
    await lab.shared(image)

    for (const { bytes, digest, mediaType } of image.layers) {
      const cid = await eventually(async () => (await lab.redis.cli("GET", digest)) || null)
      expect(parseCid(cid)).toBe(parseCid(await lab.redis.cli("HGET", `rf:1:{${digest}}:b`, "c")))
      expect(await lab.redis.cli("GET", `mtype:${digest}`)).toBe(mediaType)
      expect(Buffer.compare(await lab.kubos[1].read(cid), bytes)).toBe(0)
    }
    for (const { digest, mediaType, ...document } of [image.manifest, image.config]) {
      const noted = await eventually(async () => (await lab.redis.cli("GET", `nfo.${digest}`)) || null)
      expect(JSON.parse(noted)).toMatchObject({ Digest: digest, Labels: { "Content-Type": mediaType } })
      expect(await lab.redis.cli("GET", `cnt.${digest}`)).toBe(new TextDecoder().decode(document.bytes))
    }
  })
})
