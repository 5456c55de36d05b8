import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { brokenAfter } from "../helpers/broken-body.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, OCI_LAYER, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { type SpecWeb, startSpecWeb } from "../helpers/spec-web.ts"
import { contentResponse, type Role, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

interface Manifest {
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string; readonly mediaType: string; readonly urls?: unknown }[]
}

let upstream: UpstreamServer
let web: SpecWeb
let facade: RunningFacade
beforeAll(async () => {
  upstream = startUpstream()
  web = startSpecWeb()
  const registry = { upstreams: { [upstream.host]: {} }, remoteSpecProvider: { url: web.url } }
  facade = await startFacade({ mode: "binary", registry })
})
afterAll(async () => {
  await facade.stop()
  upstream.stop()
  web.stop()
})

/** Serves an image of these layers as remote/<id>, and gives its manifest. */
async function serve(id: string, layers: readonly TestLayer[], more: object = {}): Promise<Response> {
  upstream.add(`lab/${id}`, "1", await image({ layers }))
  web.answer(() => Response.json({ baseRef: `${upstream.host}/lab/${id}:1`, ...more }))
  return await facade.get(`/v2/remote/${id}/manifests/latest`)
}

const blobOf = async (id: string, digest: string) => await facade.get(`/v2/remote/${id}/blobs/${digest}`)
const bytesOf = async (answer: Response) => new Uint8Array(await answer.arrayBuffer())

describe("a source of a blob that fails", () => {
  test("A-6: is opened again after each of two failures, and the blob is complete", async () => {
    const one = opaqueLayer(100_000, 6)
    await serve("twice", [one])
    let opened = 0
    upstream.roles.push((request, { pathname }) => {
      if (request.method !== "GET" || !pathname.endsWith(one.digest)) return null
      opened += 1
      return opened <= 2 ? new Response("", { status: 500 }) : null
    })

    expect(await bytesOf(await blobOf("twice", one.digest))).toEqual(one.bytes)
    expect(opened).toBe(3)
  })

  test.each([
    ["small, and verified before it leaves", 100_000],
    ["large, and passed on as it comes", 9 << 20],
  ])(
    "A-7: that breaks off after five bytes goes on at the sixth; the client has all of it once: %s",
    async (name, size) => {
      const one = opaqueLayer(size, 7)
      const id = `cut-${name.slice(0, 5)}`
      await serve(id, [one])
      const ranges: (string | null)[] = []
      const cut: Role = (request, { pathname }) => {
        if (request.method !== "GET" || !pathname.endsWith(one.digest)) return null
        ranges.push(request.headers.get("range"))
        return ranges.length === 1 ? brokenAfter(one.bytes.slice(0, 5)) : contentResponse(request, one)
      }
      upstream.roles.push(cut)

      expect(await bytesOf(await blobOf(id, one.digest))).toEqual(one.bytes)
      expect(ranges).toHaveLength(2)
      expect(ranges[1]).toStartWith("bytes=5-")
    },
  )
})

describe("a remote content layer", () => {
  const secret = "hunter2"

  /** Storage behind a signed URL. */
  const store = (content: TestLayer): string => {
    upstream.roles.push((request, { pathname, searchParams }) => {
      if (pathname !== `/bucket/${content.digest}`) return null
      return searchParams.get("sig") === secret ? contentResponse(request, content) : new Response("", { status: 403 })
    })
    return `http://${upstream.host}/bucket/${content.digest}?sig=${secret}`
  }

  test("D-26: of a signed URL, compressed with zstd and without its diffID, is served by us, without its URL", async () => {
    const zstd = await layer({ content: "content" }, "zstd")
    const remote = { url: store(zstd), digest: zstd.digest, mediaType: zstd.mediaType }
    const answer = await serve("zstd", [await layer({ base: "zstd" })], { contentLayer: [{ remote }] })
    const text = await answer.text()
    const manifest = JSON.parse(text) as Manifest
    const config = await (await blobOf("zstd", manifest.config.digest)).text()
    const blob = await blobOf("zstd", zstd.digest)

    expect(manifest.layers[1]).toEqual({
      mediaType: `${OCI_LAYER}+zstd`,
      digest: zstd.digest,
      size: zstd.size,
    } as never)
    expect(JSON.parse(config).rootfs.diff_ids[1]).toBe(zstd.diffID)
    expect([blob.status, await bytesOf(blob)]).toEqual([200, zstd.bytes])
    expect(`${text}${config}${JSON.stringify(facade.logs)}`).not.toContain(secret)
  })

  test("D-26: that is not compressed has its digest as diffID", async () => {
    const plain = await layer({ content: "plain" }, "plain")
    const remote = { url: store(plain), digest: plain.digest, mediaType: plain.mediaType, diffId: "", size: plain.size }
    const answer = await serve("plain", [await layer({ base: "plain" })], { contentLayer: [{ remote }] })
    const manifest = (await answer.json()) as Manifest
    const config = (await (await blobOf("plain", manifest.config.digest)).json()) as { rootfs: { diff_ids: string[] } }

    expect(manifest.layers[1]?.mediaType).toBe(OCI_LAYER)
    expect(config.rootfs.diff_ids[1]).toBe(plain.digest)
  })

  test("D-26: without a URL is refused, and the client is told", async () => {
    const remote = { url: "", digest: `sha256:${"0".repeat(64)}` }
    const answer = await serve("nourl", [await layer({ base: "nourl" })], { contentLayer: [{ remote }] })
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain('\\"url\\" must be an http or https URL')
  })
})
