import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../helpers/free-port.ts"
import { image, opaqueLayer, type TestImage } from "../helpers/images.ts"
import { requireLogin } from "../helpers/login-server.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { scrape } from "../helpers/scrape.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const NAMES = ["a", "b", "c", "d"] as const
let server: PullServer
let images: Readonly<Record<string, TestImage>>
let dir: string
beforeEach(async () => {
  dir = tempDir()
  const made = NAMES.map(
    async (name, seed) => [name, await image({ layers: [opaqueLayer(9000, 900 + seed)] })] as const,
  )
  images = Object.fromEntries(await Promise.all(made))
})
afterEach(async () => await server.stop())

const metrics = `127.0.0.1:${freePort()}`
/** How often the store was asked for a blob. */
const storeQuestions = async () =>
  [...(await scrape(metrics))].reduce(
    (sum, [name, value]) => (name.startsWith('blob_requests_total{source="disk"') ? sum + value : sum),
    0,
  )

const start = async (
  auths: (host: string) => object,
  specs: (host: string) => Record<string, unknown> = () => ({}),
) => {
  server = await startPullServer({
    mode: "source",
    images,
    registry: { tagTTL: "0s" },
    config: { dockerAuth: join(dir, "auth.json"), prometheusAddr: metrics },
    specs: (host) => {
      writeFileSync(join(dir, "auth.json"), JSON.stringify({ auths: auths(host) }))
      return specs(host)
    },
  })
}
const auth = { auth: Buffer.from("me:s3cret").toString("base64") }
const manifest = async (name: string) => await server.raw("GET", `/v2/fixed/${name}/manifests/latest`)
const blob = async (name: string, digest = "") => await server.raw("GET", `/v2/fixed/${name}/blobs/${digest}`)
const digestOf = (name: string) => images[name]?.layers[0]?.digest

describe("what is here, and who may have it", () => {
  test("E1: a private image that one repository's credential opened stays closed for those without", async () => {
    await start((host) => ({ [`${host}/lab/a`]: auth }))
    requireLogin(server.upstream, 'Basic realm="x"', (authorization) => authorization === `Basic ${auth.auth}`)

    expect([(await manifest("a")).status, (await blob("a", digestOf("a"))).status]).toEqual([200, 200])
    expect([(await manifest("b")).status, (await blob("b", digestOf("a"))).status]).toEqual([403, 403])
  })

  test("E2: of all names and all digests, only those that belong together give bytes, in any order", async () => {
    await start(() => ({}))
    const pairs = NAMES.flatMap((name) => NAMES.map((owner) => [name, owner] as const))
    const orders = [pairs, pairs.toReversed(), pairs.toSorted(([one], [other]) => other.localeCompare(one))]
    for (const order of orders) {
      const statuses = await Promise.all(order.map(async ([name, owner]) => (await blob(name, digestOf(owner))).status))
      expect(statuses).toEqual(order.map(([name, owner]) => (name === owner ? 200 : 404)))
    }
  })

  test("who writes specs is trusted: a manifest that a spec names by its digest is taken from wherever it is", async () => {
    const digest = images["a"]?.manifest.digest
    await start(
      () => ({}),
      (host) => ({ writer: { baseRef: `${host}/lab/nothing@${digest}` } }),
    )
    expect((await manifest("writer")).status).toBe(404)
    await manifest("a")

    expect((await manifest("writer")).status).toBe(200)
    expect((await blob("b", digestOf("a"))).status).toBe(404)
  })

  test("E4: an image that was public and is not any more is closed when its tag is next asked for", async () => {
    await start(() => ({}))
    expect((await manifest("a")).status).toBe(200)
    requireLogin(server.upstream, 'Basic realm="x"', () => false)

    expect((await manifest("a")).status).toBe(403)
  })

  test.each(["GET", "HEAD"])(
    "E5: %s of what is somebody else's, and of what was never anywhere, takes the same way to the same answer",
    async (method) => {
      await start(() => ({}))
      const [own = "", foreign = ""] = [digestOf("a"), digestOf("b")]
      const never = `sha256:${"0".repeat(64)}`
      await server.warm("a", images["a"]?.layers[0] as TestImage["layers"][number])
      await server.warm("b", images["b"]?.layers[0] as TestImage["layers"][number])
      const none = await storeQuestions()
      expect((await blob("a", own)).status).toBe(200)
      const before = await storeQuestions()
      expect(before).toBe(none + 1)
      const answers = []
      for (const digest of [foreign, never]) {
        const asked = server.upstream.seen.length
        const answer = await server.raw(method, `/v2/fixed/a/blobs/${digest}`)
        answers.push({
          status: answer.status,
          headers: answer.headers.filter(([name]) => name !== "date"),
          text: answer.body.toString().replaceAll(digest, "DIGEST"),
          upstream: server.upstream.seen.slice(asked).map((request) => `${request.method} ${request.path}`),
        })
      }
      const [one, other] = answers

      expect(one?.status).toBe(404)
      expect(one).toEqual(other)
      // Time can tell nothing where nothing is done: neither store nor upstream is asked for what is not the name's
      expect(await storeQuestions()).toBe(before)
      expect(one?.upstream.filter((path) => path.includes("/blobs/"))).toEqual([])
    },
  )
})
