import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, opaqueLayer, sha256, type TestImage, type TestLayer } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

// Specs of a remote provider: written by somebody who does not run this registry, and may be an attacker

let upstream: UpstreamServer
let app: TestImage
let added: TestLayer
let dir: string
let facade: RunningFacade | null = null
const specs = new Map<string, unknown>()
let provider: ReturnType<typeof Bun.serve>
beforeEach(async () => {
  upstream = startUpstream()
  app = await image({ layers: [opaqueLayer(30_000, 41)] })
  added = await layer({ added: "yes" })
  upstream.add("lab/app", "1", app)
  upstream.addBlob(added)
  dir = tempDir()
  specs.clear()
  provider = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) => {
      const spec = specs.get(new URL(url).pathname.slice(1))
      return spec === undefined ? new Response(null, { status: 404 }) : Response.json(spec)
    },
  })
})
afterEach(async () => {
  await facade?.stop()
  upstream.stop()
  await provider.stop(true)
})

async function start(registry: object = {}, options: FacadeOptions = {}): Promise<void> {
  const remoteSpecProvider = [{ url: `http://127.0.0.1:${provider.port}/{id}` }]
  const fixed = { own: { baseRef: `${upstream.host}/lab/app:1` } }
  facade = await startFacade({
    dir,
    specs: fixed,
    tuning: IMPATIENT,
    ...options,
    registry: { tagTTL: "0s", remoteSpecProvider, ...registry },
  })
}
const get = async (path: string) => {
  const answer = await facade?.get(`/v2/${path}`)
  return { status: answer?.status ?? 0, text: (await answer?.text()) ?? "" }
}

describe("a spec of a stranger", () => {
  test("C4: reaches nothing on this machine, or beside it, which an operator's own spec does", async () => {
    const hosts = [
      upstream.host,
      `localhost:${upstream.url.port}`,
      "10.0.0.1",
      "192.168.1.1:5000",
      "169.254.169.254",
      "100.64.0.1",
    ]
    for (const [place, host] of hosts.entries()) specs.set(`base${place}`, { baseRef: `${host}/lab/app:1` })
    await start()
    for (const place of hosts.keys()) {
      const { status, text } = await get(`remote/base${place}/manifests/latest`)
      expect([hosts[place], status]).toEqual([hosts[place], 403])
      expect(text).toContain("is not in public")
    }
    expect(upstream.seen).toEqual([])
    expect((await get("fixed/own/manifests/latest")).status).toBe(200)
  })

  test.each([
    ["an added image", (host: string) => ({ layers: [{ image: `${host}/lab/app:1` }] })],
    ["an image of the original's fields", (host: string) => ({ ideRef: `${host}/lab/app:1` })],
    [
      "a layer's URL",
      (host: string) => ({
        layers: [{ url: `http://${host}/v2/lab/app/blobs/${added.digest}`, digest: added.digest }],
      }),
    ],
    [
      "a content layer's URL",
      (host: string) => ({
        contentLayer: [{ remote: { url: `http://${host}/v2/lab/app/blobs/${added.digest}`, digest: added.digest } }],
      }),
    ],
  ])("C4: nor does %s", async (_, part) => {
    specs.set("x", { baseRef: "scratch", ...part(upstream.host) })
    await start()

    expect((await get("remote/x/manifests/latest")).status).toBe(403)
    expect(upstream.seen).toEqual([])
  })

  test.each([
    ["upstreams", () => ({ upstreams: { [upstream.host]: {} } })],
    ["allowedUpstreams", () => ({ allowedUpstreams: [`${upstream.host}/lab/*`] })],
  ])("C4: a host that %s names is reached, and what it gives is served", async (_, registry) => {
    specs.set("x", { baseRef: `${upstream.host}/lab/app:1` })
    await start(registry())
    const digest = app.layers[0]?.digest ?? ""

    expect((await get("remote/x/manifests/latest")).status).toBe(200)
    expect(
      sha256(new Uint8Array((await (await facade?.get(`/v2/remote/x/blobs/${digest}`))?.arrayBuffer()) ?? [])),
    ).toBe(digest)
  })

  test("C4: what it may no longer reach after a start is not fetched because it was served before", async () => {
    specs.set("x", { baseRef: `${upstream.host}/lab/app:1` })
    await start({ upstreams: { [upstream.host]: {} } })
    expect((await get("remote/x/manifests/latest")).status).toBe(200)
    await facade?.stop()
    upstream.seen.splice(0)
    await start()

    expect((await get(`remote/x/blobs/${app.layers[0]?.digest}`)).status).toBeOneOf([403, 404])
    expect(upstream.seen).toEqual([])
  })

  test.each([
    ["a file", { baseRef: "scratch", layers: [{ file: "/etc/passwd" }] }],
    ["a directory", { baseRef: "scratch", layers: [{ dir: "/etc" }] }],
    ["a layout", { baseRef: "oci:/var/lib/images" }],
    ["a file by its URL", { baseRef: "scratch", layers: [{ url: "file:///etc/passwd", digest: sha256("x") }] }],
  ])("C5: cannot use %s of this machine", async (_, spec) => {
    specs.set("x", spec)
    await start()
    const { status, text } = await get("remote/x/manifests/latest")

    expect(status).toBeGreaterThanOrEqual(400)
    expect(text).not.toContain("root:")
  })
})
