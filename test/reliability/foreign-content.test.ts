import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, OCI_LAYER, opaqueLayer, sha256 } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let upstream: UpstreamServer
let elsewhere: UpstreamServer
let facade: RunningFacade | null = null
beforeEach(() => {
  upstream = startUpstream()
  elsewhere = startUpstream()
})
afterEach(async () => {
  await facade?.stop()
  upstream.stop()
  elsewhere.stop()
})

const start = async (spec: unknown): Promise<RunningFacade> => {
  facade = await startFacade({ specs: { app: spec }, tuning: IMPATIENT })
  return facade
}

describe("content that an image says is elsewhere", () => {
  test("C6: the urls of a descriptor are not asked, with credentials or without", async () => {
    const foreign = opaqueLayer(5000, 3)
    elsewhere.addBlob(foreign)
    const { digest, mediaType, size } = foreign
    const urls = [`${elsewhere.url.href}v2/lab/app/blobs/${digest}`]
    const base = await image({ manifest: { layers: [{ digest, mediaType, size, urls }] }, layers: [foreign] })
    upstream.add("lab/app", "1", base)
    upstream.roles.push((_, { pathname }) => (pathname.endsWith(digest) ? new Response(null, { status: 404 }) : null))
    const { get } = await start({ baseRef: `${upstream.host}/lab/app:1` })
    await get("/v2/fixed/app/manifests/latest")

    expect((await get(`/v2/fixed/app/blobs/${digest}`)).status).toBe(404)
    expect(elsewhere.seen).toEqual([])
  })

  test("C7: our clients are never sent elsewhere, where a layer's URL redirects to", async () => {
    const { bytes, digest } = await layer({ a: "a" })
    const storage = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(bytes) })
    elsewhere.roles.push(() => Response.redirect(`http://127.0.0.1:${storage.port}/signed?token=s3cret`, 307))
    const { get } = await start({
      baseRef: "scratch",
      layers: [{ url: `${elsewhere.url.href}layer?sig=s3cret`, digest }],
    })
    const manifest = await get("/v2/fixed/app/manifests/latest")
    const answer = await get(`/v2/fixed/app/blobs/${digest}`)

    expect([manifest.status, answer.status, answer.headers.get("location")]).toEqual([200, 200, null])
    expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(digest)
    expect(await manifest.text()).not.toContain("s3cret")
    await storage.stop(true)
  })

  test.each(["file:///etc/passwd", "data:application/gzip,x", "s3://bucket/layer", "unix:///run/docker.sock"])(
    "C5: a layer's URL %s makes the spec one that is refused, and nothing is read",
    async (url) => {
      const failure = await start({ baseRef: "scratch", layers: [{ url, digest: sha256("x") }] }).catch(String)

      expect(failure).toContain('"url" must be an http or https URL')
    },
  )

  test("C4: a registry cannot send us to a cloud's metadata, and the client is told", async () => {
    const base = await image({ layers: [opaqueLayer(5000, 4)] })
    upstream.add("lab/app", "1", base)
    upstream.roles.push((_, { pathname }) =>
      pathname.includes("/blobs/") && !pathname.endsWith(base.config.digest)
        ? Response.redirect("http://169.254.169.254/latest/meta-data/?s3cret", 307)
        : null,
    )
    const { get } = await start({ baseRef: `${upstream.host}/lab/app:1` })
    await get("/v2/fixed/app/manifests/latest")
    const answer = await get(`/v2/fixed/app/blobs/${base.layers[0]?.digest}`)
    const text = await answer.text()

    expect(answer.status).toBe(403)
    expect(text).toContain(`169.254.169.254, where ${upstream.host} sends us, is not in public`)
    expect(text).not.toContain("s3cret")
  })

  test.each(["http://169.254.169.254/token", "http://[fe80::1]/token"])(
    "C2, C4: nor can its realm: %s",
    async (realm) => {
      upstream.roles.push(
        () => new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${realm}"` } }),
      )
      const { get } = await start({ baseRef: `${upstream.host}/lab/app:1` })
      const answer = await get("/v2/fixed/app/manifests/latest")

      expect(answer.status).toBe(403)
      expect(await answer.text()).toContain(`${new URL(realm).host}, where ${upstream.host} sends us, is not in public`)
    },
  )

  test("a media type that may not be distributed is told, where it cannot be served", async () => {
    const foreign = await layer({ a: "a" })
    const type = `${OCI_LAYER.replace("layer.v1", "layer.nondistributable.v1")}+gzip`
    const base = await image({ layers: [{ ...foreign, mediaType: type }] })
    upstream.add("lab/app", "1", base)
    const { get } = await start({ baseRef: "scratch", layers: [{ image: `${upstream.host}/lab/app:1` }] })
    const answer = await get("/v2/fixed/app/manifests/latest")

    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(await answer.text()).toContain("may not be distributed")
  })
})
