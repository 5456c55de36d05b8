import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"

const MIB = 1024 * 1024
const OTHER = `sha256:${"0".repeat(64)}`

const small = opaqueLayer(2048)
const warm = opaqueLayer(1 * MIB)
const large = opaqueLayer(9 * MIB)
const coldMedium = opaqueLayer(1 * MIB, 1)
const coldLarge = opaqueLayer(9 * MIB, 1)

/** RFC 9110, 13.1.2, with `D` for the digest; some clients forget the quotes. */
const NONE_MATCH: readonly (readonly [header: string, status: 200 | 304])[] = [
  ['"D"', 304],
  ["D", 304],
  ['W/"D"', 304],
  ["*", 304],
  [" * ", 304],
  [`"${OTHER}", "D"`, 304],
  [`"${OTHER}","x",W/"D"`, 304],
  [`"${OTHER}"`, 200],
  [`W/"${OTHER}"`, 200],
  ['"D', 200],
  ['"d"', 200],
  ['"*"', 200],
  ['""', 200],
  ["", 200],
  [",", 200],
  ['"D "', 200],
  ['"prefix-D"', 200],
]

/** RFC 9110, 13.1.5: strong comparison only; there are no dates here that could match. */
const IF_RANGE: readonly (readonly [header: string, status: 200 | 206])[] = [
  ['"D"', 206],
  ["D", 206],
  ['W/"D"', 200],
  [`"${OTHER}"`, 200],
  ["*", 200],
  ['"D", "D"', 200],
  ["Sat, 29 Oct 1994 19:43:31 GMT", 200],
  ["x", 200],
  ["", 206],
]

describe.each(["source", "binary"] as Mode[])("conditions from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    const layers = [small, warm, large, coldMedium, coldLarge]
    server = await startPullServer({ mode, images: { a: await image({ layers }) } })
    for (const blob of [small, warm, large]) await server.warm("a", blob)
  })
  afterAll(async () => await server.stop())

  const blobPath = (digest: string) => `/v2/fixed/a/blobs/${digest}`
  const BLOBS = { small, warm, large } as const

  test.each(NONE_MATCH)("[M9] [B8] If-None-Match: %s is answered with %p", async (template, status) => {
    const manifest = await server.raw("GET", "/v2/fixed/a/manifests/latest")
    const digest = manifest.header("docker-content-digest") ?? ""
    const targets = [
      ["/v2/fixed/a/manifests/latest", digest],
      [`/v2/fixed/a/manifests/${digest}`, digest],
      ...Object.values(BLOBS).map((blob) => [blobPath(blob.digest), blob.digest]),
    ] as const

    for (const [path, etag] of targets) {
      const headers = { "If-None-Match": template.replaceAll("D", etag) }
      for (const method of ["GET", "HEAD"]) {
        const answer = await server.raw(method, path, headers)
        expect([method, path, answer.status]).toEqual([method, path, status])
        expect(answer.header("etag")).toBe(`"${etag}"`)
        expect(answer.header("docker-content-digest")).toBe(etag)
        if (status === 304) expect(answer.body.byteLength).toBe(0)
      }
    }
  })

  test("[B8] a 304 wins over Range and costs no request upstream", async () => {
    for (const { digest } of [coldMedium, coldLarge]) {
      const headers = { "If-None-Match": `"${digest}"`, Range: "bytes=0-9" }
      const answer = await server.raw("GET", blobPath(digest), headers)
      expect([answer.status, answer.header("content-range"), server.asked(digest)]).toEqual([304, null, 0])
    }
  })

  test("[M9] a 304 tells how long it may be kept, and on what it depends", async () => {
    const path = "/v2/fixed/a/manifests/latest"
    const whole = await server.raw("GET", path)
    const unchanged = await server.raw("GET", path, { "If-None-Match": whole.header("etag") ?? "" })

    expect([unchanged.status, unchanged.header("cache-control")]).toEqual([304, "no-cache"])
    expect(unchanged.header("vary")).toBe(whole.header("vary"))
    expect(unchanged.header("content-type")).toBeNull()
  })

  test("[M9] [B3] what a digest names may be kept for ever, what a tag names may not", async () => {
    const manifest = await server.raw("GET", "/v2/fixed/a/manifests/latest")
    const digest = manifest.header("docker-content-digest") ?? ""
    const lasting = "public, max-age=31536000, immutable, no-transform"

    expect(manifest.header("cache-control")).toBe("no-cache")
    expect((await server.raw("GET", `/v2/fixed/a/manifests/${digest}`)).header("cache-control")).toBe(lasting)
    expect((await server.raw("GET", blobPath(small.digest))).header("cache-control")).toBe(lasting)
    expect((await server.raw("HEAD", blobPath(large.digest))).header("cache-control")).toBe(lasting)
  })

  test.each(IF_RANGE)("[B8] If-Range: %s with a Range is answered with %p", async (template, status) => {
    for (const [name, { bytes, digest, size }] of Object.entries(BLOBS)) {
      const headers = { "If-Range": template.replaceAll("D", digest), Range: "bytes=100-199" }
      const answer = await server.raw("GET", blobPath(digest), headers)
      expect([name, answer.status, answer.isComplete]).toEqual([name, status, true])
      expect(answer.header("content-length")).toBe(status === 206 ? "100" : String(size))
      expect(answer.header("content-range") ?? "").toBe(status === 206 ? `bytes 100-199/${size}` : "")
      expect(answer.body.equals(status === 206 ? bytes.subarray(100, 200) : bytes)).toBe(true)
    }
  })

  test("[B8] If-Range of another version turns a range that cannot be satisfied into everything", async () => {
    for (const { digest, size } of Object.values(BLOBS)) {
      const headers = { "If-Range": `"${OTHER}"`, Range: "bytes=99999999-" }
      const answer = await server.raw("GET", blobPath(digest), headers)
      expect([answer.status, answer.body.byteLength]).toEqual([200, size])
    }
  })

  test("[B8] If-Range without Range changes nothing", async () => {
    const answer = await server.raw("GET", blobPath(warm.digest), { "If-Range": `"${warm.digest}"` })

    expect([answer.status, answer.body.byteLength]).toEqual([200, warm.size])
  })

  test("[B8] If-Range is heeded for a blob that still has to come", async () => {
    for (const { bytes, digest } of [coldMedium, coldLarge]) {
      const headers = { "If-Range": `"${OTHER}"`, Range: "bytes=100-199" }
      const answer = await server.raw("GET", blobPath(digest), headers)
      expect([answer.status, answer.isComplete]).toEqual([200, true])
      expect(answer.body.equals(bytes)).toBe(true)
    }
  })
})
