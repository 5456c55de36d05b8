import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { createHash } from "node:crypto"
import type { Mode } from "../helpers/facade.ts"
import { type Content, content, image, layer, opaqueLayer, sha256, type TestLayer } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { contentResponse } from "../helpers/upstream-server.ts"

const KIB = 1024
const MIB = 1024 * KIB
const GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

const as512 = (one: TestLayer): TestLayer => ({
  ...one,
  digest: `sha512:${createHash("sha512").update(one.bytes).digest("hex")}`,
})

describe.each(["source", "binary"] as Mode[])("blobs from %s", (mode) => {
  const tiny = opaqueLayer(100, 1)
  const medium = opaqueLayer(3 * MIB, 2)
  const large = opaqueLayer(9 * MIB, 3)
  const empty = opaqueLayer(0)
  const object = { ...content(GZIP, "{}"), diffID: sha256("{}") }
  const long512 = as512(opaqueLayer(70 * KIB, 4))
  const parallel = opaqueLayer(9 * MIB, 5)
  const moved = opaqueLayer(9 * MIB, 6)
  const wrongMedium = opaqueLayer(1 * MIB, 7)
  const wrongLarge = opaqueLayer(9 * MIB, 8)
  const unasked = [100, 1 * MIB, 9 * MIB].map((size) => opaqueLayer(size, 9))
  const secret = opaqueLayer(300 * KIB, 10)
  const foreign = { ...opaqueLayer(500, 11), mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip" }
  let baseConfig: Content
  let server: PullServer

  beforeAll(async () => {
    const layers = [tiny, medium, large, empty, object, long512, parallel, moved, wrongMedium, wrongLarge, ...unasked]
    const base = await image({ layers: [...layers, foreign] })
    baseConfig = base.config
    const other = await image({ layers: [await layer({ a: "b" }), secret] })
    server = await startPullServer({
      mode,
      images: { a: base, other },
      specs: (host) => ({
        edited: {
          baseRef: `${host}/lab/a:1`,
          config: { env: { set: { A: "1" } } },
          layers: [{ files: { "/x": "y" } }],
        },
      }),
    })
  })
  afterAll(async () => await server.stop())

  const path = (digest: string, name = "a") => `/v2/fixed/${name}/blobs/${digest}`

  test.each([
    ["100 bytes", tiny],
    ["3 MiB", medium],
    ["9 MiB", large],
    ["no byte at all", empty],
    ["{}", object],
    ["70 KiB named by sha512", long512],
  ])("[B1] [B3] [B14] [R7] GET and HEAD of a blob of %s, cold and from the store", async (_, blob) => {
    for (const round of ["cold", "again"]) {
      const answer = await server.raw("GET", path(blob.digest))
      expect([round, answer.status, answer.isComplete]).toEqual([round, 200, true])
      expect(answer.body.equals(blob.bytes)).toBe(true)
      const head = await server.raw("HEAD", path(blob.digest))
      expect([head.status, head.body.byteLength]).toEqual([200, 0])
      expect(head.header("content-length")).toBe(String(blob.size))
      for (const one of [answer, head]) {
        expect(one.header("docker-content-digest")).toBe(blob.digest)
        expect(one.header("etag")).toBe(`"${blob.digest}"`)
        expect(one.header("content-type")).toBe(GZIP)
        expect(one.header("accept-ranges")).toBe("bytes")
        expect(one.header("content-encoding")).toBeNull()
      }
      await server.warm("a", blob)
    }
  })

  test("[B1] a blob in the store has its length, however large", async () => {
    const size = String(large.size)
    await server.warm("a", large)

    expect((await server.raw("GET", path(large.digest))).header("content-length")).toBe(size)
  })

  test("[B1] D-6: a blob that is in no image is 404 BLOB_UNKNOWN", async () => {
    const answer = await server.raw("GET", path(`sha256:${"0".repeat(64)}`))

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([404, "BLOB_UNKNOWN"])
  })

  test("[B2] HEAD of a cold blob asks the upstream for no blob", async () => {
    for (const { digest, size } of unasked) {
      const head = await server.raw("HEAD", path(digest))
      expect([head.status, head.header("content-length"), server.asked(digest)]).toEqual([200, String(size), 0])
    }
  })

  test("[B3] upstream is asked for bytes as they are stored", async () => {
    await server.raw("GET", path(medium.digest), { "Accept-Encoding": "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5" })

    for (const { headers } of server.upstream.seen) expect(headers.get("accept-encoding")).toBe("identity")
  })

  test("[B9] overlapping open-ended ranges of a cold blob are one transfer", async () => {
    const { bytes, digest, size } = parallel
    const starts = [0, 1, 2, 3].map((index) => index * MIB)
    const answers = await Promise.all(
      starts.map(async (start) => await server.raw("GET", path(digest), { Range: `bytes=${start}-` })),
    )

    for (const [index, { body, status, header }] of answers.entries()) {
      expect([status, header("content-range")]).toEqual([206, `bytes ${index * MIB}-${size - 1}/${size}`])
      expect(body.equals(bytes.subarray(index * MIB))).toBe(true)
    }
    expect(server.asked(digest)).toBe(1)
  })

  test("[B9] many clients of one cold blob at once are one transfer", async () => {
    const answers = await Promise.all(
      Array.from({ length: 16 }, async () => await server.raw("GET", path(secret.digest, "other"))),
    )

    for (const { body } of answers) expect(body.equals(secret.bytes)).toBe(true)
    expect(server.asked(secret.digest)).toBe(1)
  })

  test("[B10] an upstream's redirect is followed, the client sees none", async () => {
    server.upstream.roles.push((request, { pathname, origin }) => {
      if (pathname === `/v2/lab/a/blobs/${moved.digest}`)
        return Response.redirect(`${origin}/storage?signature=canary`, 307)
      return pathname === "/storage" ? contentResponse(request, moved) : null
    })
    const answer = await server.raw("GET", path(moved.digest))

    expect([answer.status, answer.header("location")]).toEqual([200, null])
    expect(answer.body.equals(moved.bytes)).toBe(true)
  })

  test("[B11] wrong bytes of a blob of at most 8 MiB are never seen: an error takes their place", async () => {
    server.upstream.roles.push((request, { pathname }) =>
      pathname.endsWith(wrongMedium.digest) ? contentResponse(request, altered(wrongMedium)) : null,
    )
    const answer = await server.raw("GET", path(wrongMedium.digest))

    expect([answer.status, errorsOf(answer)[0]]).toMatchObject([502, { detail: "upstream_integrity" }])
    expect(errorsOf(answer)[0]?.message).toContain(server.upstream.host)
  })

  test("[B11] wrong bytes of a larger blob never end well", async () => {
    server.upstream.roles.push((request, { pathname }) =>
      pathname.endsWith(wrongLarge.digest) ? contentResponse(request, altered(wrongLarge)) : null,
    )
    const answer = await server.raw("GET", path(wrongLarge.digest))

    expect(answer.isComplete && answer.status === 200).toBe(false)
    expect(answer.body.byteLength).toBeLessThan(wrongLarge.size)
  })

  test("[B12] D-14: a blob is read only under a name whose image has it, also when it is in the store", async () => {
    await server.warm("other", secret)

    for (const name of ["a", "edited", "none"]) {
      for (const method of ["GET", "HEAD"]) {
        expect([name, (await server.raw(method, path(secret.digest, name))).status]).toEqual([name, 404])
      }
    }
    expect((await server.raw("GET", path(secret.digest, "other"))).status).toBe(200)
  })

  test("[B12] the base's config, which the composed image replaces, is no part of it", async () => {
    expect((await server.raw("GET", path(baseConfig.digest, "edited"))).status).toBe(404)
  })

  test("[B12] a manifest is no blob, and a blob is no manifest", async () => {
    const digest = (await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).header("docker-content-digest") ?? ""
    const asBlob = await server.raw("GET", path(digest))
    const asManifest = await server.raw("GET", `/v2/fixed/a/manifests/${tiny.digest}`)

    expect([asBlob.status, errorsOf(asBlob)[0]?.code]).toEqual([404, "BLOB_UNKNOWN"])
    expect([asManifest.status, errorsOf(asManifest)[0]?.code]).toEqual([404, "MANIFEST_UNKNOWN"])
  })

  test("[B3] every blob has the media type that the manifest gives it", async () => {
    const { config, layers } = JSON.parse(
      (await server.raw("GET", "/v2/fixed/edited/manifests/latest")).body.toString(),
    )

    for (const { digest, mediaType, size } of [config, ...layers] as Content[]) {
      const head = await server.raw("HEAD", path(digest, "edited"))
      expect([head.status, head.header("content-type")]).toEqual([200, mediaType])
      expect(head.header("content-length")).toBe(String(size))
    }
  })
})

function altered(blob: Content): Content {
  const bytes = blob.bytes.slice()
  bytes[bytes.byteLength >> 1] = (bytes[bytes.byteLength >> 1] ?? 0) ^ 1
  return { ...blob, bytes }
}
