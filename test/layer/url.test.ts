import { afterEach, describe, expect, test } from "bun:test"
import type { UrlLayerRequest } from "../../src/layer/layer.ts"
import { UrlLayerSource } from "../../src/layer/url.ts"
import { parseDiffID, parseDigest } from "../../src/oci/digest.ts"
import { watchedEgress } from "../helpers/egress.ts"
import { type Content, layer, OCI_LAYER, type TestLayer } from "../helpers/images.ts"
import { AMD64, fromSource, never, onlyLayer } from "../helpers/layers.ts"
import { until } from "../helpers/until.ts"
import { contentResponse } from "../helpers/upstream-server.ts"
import { createWorkshop, type TestWorkshop } from "../helpers/workshop.ts"

type Answer = (request: Request, content: Content) => Response

const servers: { stop(force: boolean): unknown }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) void server.stop(true)
})

/** A web server that has one file, at any path. */
function serve(content: Content, answer: Answer = contentResponse): URL {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: (request) => answer(request, content) })
  servers.push(server)
  return new URL(`http://127.0.0.1:${server.port}/layer.tar?token=hunter2`)
}

const wanted = (url: URL, { digest }: TestLayer, facts: Partial<UrlLayerRequest> = {}): UrlLayerRequest => ({
  kind: "url",
  url,
  digest: parseDigest(digest),
  diffID: null,
  mediaType: null,
  size: null,
  text: `url ${url.origin}/layer.tar?<redacted>`,
  ...facts,
})

async function start(used?: TestWorkshop) {
  const workshop = used ?? (await createWorkshop())
  const { egress, sent } = watchedEgress()
  const source = new UrlLayerSource({ ...workshop, egress })
  const contribute = (request: UrlLayerRequest) => source.contribute(request, AMD64, never)
  return { workshop, sent, contribute, only: async (request: UrlLayerRequest) => onlyLayer(await contribute(request)) }
}

describe("UrlLayerSource", () => {
  test("with all facts given nothing is asked", async () => {
    const one = await layer({ a: "a" })
    const { only, sent } = await start()
    const facts = { diffID: parseDiffID(one.diffID), mediaType: one.mediaType, size: one.size }
    const found = await only(wanted(new URL("http://127.0.0.1:1/x"), one, facts))

    expect(found.descriptor as object).toEqual({ mediaType: one.mediaType, digest: one.digest, size: one.size })
    expect(found.diffID as string).toBe(one.diffID)
    expect(sent).toEqual([])
  })

  test("a URL that has expired in one spec does not stop another spec's, also at the same time", async () => {
    const one = await layer({ a: "a" })
    const url = serve(one, (request, content) =>
      request.url.includes("expired") ? new Response("expired", { status: 403 }) : contentResponse(request, content),
    )
    const { contribute } = await start()
    const [expired, fresh] = await Promise.allSettled([
      contribute(wanted(new URL("?expired", url), one)),
      contribute(wanted(new URL("?fresh", url), one)),
    ])

    expect([expired.status, fresh.status]).toEqual(["rejected", "fulfilled"])
  })

  test("an uncompressed layer needs no diffID, as its digest is one", async () => {
    const one = await layer({ a: "a" }, "plain")
    const { only, sent } = await start()
    const found = await only(wanted(new URL("http://127.0.0.1:1/x"), one, { mediaType: OCI_LAYER, size: one.size }))

    expect(found.diffID as string).toBe(one.diffID)
    expect(sent).toEqual([])
  })

  test.each(["plain", "gzip", "zstd"] as const)(
    "what is not given of a %s layer is found out by fetching it once",
    async (form) => {
      const one = await layer({ a: "a".repeat(3000) }, form)
      const { only, sent, workshop } = await start()
      const request = wanted(serve(one), one)
      const found = await Promise.all([1, 2, 3].map(() => only(request)))
      const whole = sent.filter(({ headers }) => headers?.["range"] === undefined)

      for (const { descriptor, diffID } of found) {
        expect({ ...descriptor, diffID } as object).toEqual({
          mediaType: one.mediaType,
          digest: one.digest,
          size: one.size,
          diffID: one.diffID,
        })
      }
      expect(whole).toHaveLength(1)
      const descriptor = { mediaType: one.mediaType, digest: request.digest, size: one.size }
      await until(async () => (await workshop.kept(descriptor)) !== null)
    },
  )

  test("a server that knows neither ranges nor HEAD is good enough", async () => {
    const one = await layer({ a: "a" })
    const answer: Answer = (request, { bytes }) =>
      request.method === "GET" ? new Response(bytes) : new Response(null, { status: 403 })

    expect((await (await start()).only(wanted(serve(one, answer), one))).descriptor.size).toBe(one.size)
  })

  test("a server that does not tell the size needs to be helped", async () => {
    const one = await layer({ a: "a" })
    const answer: Answer = (_, { bytes }) => new Response(chunked(bytes))
    const url = serve(one, answer)
    const { contribute, only } = await start()

    await expect(contribute(wanted(url, one))).rejects.toThrow(
      `${url.host} answered 200 without telling the size; give "size"`,
    )
    expect((await only(wanted(url, one, { size: one.size }))).diffID as string).toBe(one.diffID)
  })

  test("other bytes than the digest's are refused, and not kept", async () => {
    const [one, other] = await Promise.all([layer({ a: "a" }), layer({ a: "b" })])
    const { contribute, workshop } = await start()
    const request = wanted(
      serve({ ...other, size: one.size }, (_, { bytes }) => new Response(bytes)),
      one,
    )

    await expect(contribute(request)).rejects.toThrow()
    expect(await workshop.kept({ mediaType: OCI_LAYER, digest: request.digest, size: one.size })).toBeNull()
  })

  test("a diffId that is wrong is told", async () => {
    const [one, other] = await Promise.all([layer({ a: "a" }), layer({ a: "b" })])
    const { contribute } = await start()
    const request = wanted(serve(one), one, { diffID: parseDiffID(other.diffID) })

    await expect(contribute(request)).rejects.toThrow(`its diffId is ${one.diffID}, not ${other.diffID}`)
  })

  test.each([
    [403, "DENIED", 403, "answered 403"],
    [404, "BLOB_UNKNOWN", 404, "does not have it"],
    [429, "TOOMANYREQUESTS", 429, "answered 429"],
    [500, "UNAVAILABLE", 503, "answered 500"],
  ])("status %d is told as %s, without what is secret in the URL", async (answered, code, status, reason) => {
    const one = await layer({ a: "a" })
    const { contribute } = await start()
    const url = serve(one, () => new Response("hunter2", { status: answered }))
    const error = await contribute(wanted(url, one)).then(String, (cause) => cause)

    expect(error).toMatchObject({ code, status })
    expect(error.message).toContain(reason)
    expect(error.message).toStartWith(`Cannot add layer url ${url.origin}/layer.tar?<redacted>: `)
    expect(error.message).not.toContain("hunter2")
  })

  test.each([
    ["http://127.0.0.1:1/x", "UNAVAILABLE", 503],
    ["http://169.254.169.254/x", "DENIED", 403],
  ])("the size of %s is asked for in vain, which is told as %s", async (url, code, status) => {
    const { contribute } = await start()
    const request = wanted(new URL(url), await layer({ a: "a" }))

    await expect(contribute(request)).rejects.toMatchObject({ code, status })
  })

  test("a file that is gone when it is fetched is told", async () => {
    const one = await layer({ a: "a" })
    const { contribute } = await start()
    const url = serve(one, () => new Response(null, { status: 404 }))

    await expect(contribute(wanted(url, one, { size: one.size }))).rejects.toThrow(`${url.host} does not have it`)
  })

  test("what is no archive is refused, although its digest is right", async () => {
    const text = new Uint8Array(Buffer.from("hello ".repeat(100)))
    const digest = `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`
    const one = { mediaType: "text/plain", digest, diffID: digest, size: text.byteLength, bytes: text }
    const { contribute } = await start()

    await expect(contribute(wanted(serve(one), one))).rejects.toThrow("it is no tar archive")
  })

  test("its source gives any part of the content", async () => {
    const one = await layer({ a: "a".repeat(5000) }, "plain")
    const { only } = await start()
    const found = await only(wanted(serve(one), one))

    for (const offset of [0, 1, 1000, one.size - 1]) {
      expect(Buffer.from((await fromSource(found, offset)) ?? []).equals(one.bytes.subarray(offset))).toBe(true)
    }
  })
})

/** In pieces that come one after the other, so that nobody knows the length before. */
function chunked(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let offset = 0
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      await new Promise((resolve) => setImmediate(resolve))
      if (offset >= bytes.byteLength) return controller.close()
      controller.enqueue(bytes.slice(offset, offset + 50))
      offset += 50
    },
  })
}
