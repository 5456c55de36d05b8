import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { image, index, layer, platform, type TestImage } from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const ACCEPT = { Accept: "*/*" }

/** Everything that a client gets of an image for one platform, as containerd pulls. */
async function pull(server: PullServer, name: string): Promise<{ readonly digest: string; readonly layers: number }> {
  const root = await server.raw("GET", `/v2/fixed/${name}/manifests/latest`, ACCEPT)
  expect(root.status).toBe(200)
  const found = JSON.parse(root.body.toString())
  const entry = found.manifests?.[0]
  const manifest =
    entry === undefined
      ? found
      : JSON.parse((await server.raw("GET", `/v2/fixed/${name}/manifests/${entry.digest}`, ACCEPT)).body.toString())
  for (const { digest, size } of [manifest.config, ...manifest.layers]) {
    const blob = await server.raw("GET", `/v2/fixed/${name}/blobs/${digest}`)
    expect([blob.status, blob.body.byteLength]).toEqual([200, size])
  }
  return { digest: root.header("docker-content-digest") ?? "", layers: manifest.layers.length }
}

const layersOf = async (name: string) =>
  await Promise.all(
    Array.from({ length: 10 }, async (_, place) => await layer({ [`${name}${place}`]: `${name} ${place}` })),
  )

describe("requests upstream", () => {
  let server: PullServer

  beforeAll(async () => {
    const base = index([[await image({ layers: await layersOf("base") }), platform("amd64")]])
    const addon = await image({ layers: await layersOf("addon") })
    server = await startPullServer({
      mode: "binary",
      images: { base, addon },
      specs: (host) => ({ both: { baseRef: `${host}/lab/base:1`, layers: [{ image: `${host}/lab/addon:1` }] } }),
    })
  })
  afterAll(async () => await server.stop())

  test("a cold pull of an image and its addon asks for everything once, a warm one for nothing", async () => {
    const cold = await pull(server, "both")
    expect(cold.layers).toBe(20)
    // Two tags, the base's manifest, two configs and the layers
    expect(new Set(server.upstream.seen.map(({ path }) => path)).size).toBe(5 + 20)
    expect(server.upstream.seen.length).toBe(5 + 20)
    const before = server.upstream.seen.length
    expect(await pull(server, "both")).toEqual(cold)

    expect(server.upstream.seen.slice(before)).toEqual([])
  })
})

describe("requests upstream, where every image gets the layers of another one", () => {
  let addons: UpstreamServer
  let server: PullServer

  beforeAll(async () => {
    addons = startUpstream()
    addons.add("lab/addon", "1", await image({ layers: await layersOf("addon") }))
    server = await startPullServer({
      mode: "binary",
      images: { base: index([[await image({ layers: await layersOf("base") }), platform("amd64")]]) },
      upstreams: () => ({ [addons.host]: {} }),
      registry: { staticLayer: [{ type: "image", ref: `${addons.host}/lab/addon:1` }] },
    })
    // Its manifest and its config, which are there before anybody pulls
    await until(() => addons.seen.length === 2)
  })
  afterAll(async () => {
    await server.stop()
    addons.stop()
  })

  test("D-12: a cold pull of 10 + 10 layers on an index costs at most 24 requests, a warm one none", async () => {
    const seen = () => [...addons.seen.slice(2), ...server.upstream.seen].map(({ path }) => path)
    const cold = await pull(server, "base")
    expect(cold.layers).toBe(20)
    // The tag, the manifest, the config and the layers
    expect(new Set(seen()).size).toBe(3 + 20)
    expect(seen().length).toBeLessThanOrEqual(24)
    const before = seen().length
    expect(await pull(server, "base")).toEqual(cold)

    expect(seen().slice(before)).toEqual([])
  })
})

describe("a tag that moves, and an upstream that fails then", () => {
  let server: PullServer
  let later: TestImage

  beforeAll(async () => {
    later = await image({ layers: [await layer({ "later.txt": "later" })] })
    server = await startPullServer({
      mode: "binary",
      images: { app: await image({ layers: [await layer({ "first.txt": "first" })] }) },
      registry: { tagTTL: "50ms" },
    })
  })
  afterAll(async () => await server.stop())

  test("D-13: a new pull gets the new image once its time is over, and during an outage what was known last", async () => {
    const { digest: first } = await pull(server, "app")
    server.upstream.add("lab/app", "1", later)
    await until(async () => (await pull(server, "app")).digest !== first)
    const { digest: second } = await pull(server, "app")
    const blobs = later.layers.map((one) => `/v2/fixed/app/blobs/${one.digest}`)
    server.upstream.roles.push(() => new Response(null, { status: 503 }))
    const expired = server.upstream.seen.length
    await until(async () => {
      expect((await pull(server, "app")).digest).toBe(second)
      return server.upstream.seen.length > expired
    })

    for (const path of blobs) expect((await server.raw("GET", path)).status).toBe(200)
    server.upstream.roles.pop()
    expect((await pull(server, "app")).digest).toBe(second)
  })
})
