import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  image,
  index,
  OCI_INDEX,
  OCI_MANIFEST,
  opaqueLayer,
  platform,
} from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"

setDefaultTimeout(20_000)

const MIB = 1024 * 1024
const HEX = "0123456789abcdef".repeat(4)
const ENCODINGS = ["zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "gzip", "br, zstd, gzip", "*", "identity;q=0, gzip"]

const small = opaqueLayer(2048)
const warm = opaqueLayer(1 * MIB)
const large = opaqueLayer(9 * MIB)
const cold = ENCODINGS.map((_, seed) => opaqueLayer(9 * MIB, 100 + seed))

/** What each kind of path is answered with; every answer's length is known. */
const PATHS: readonly (readonly [path: string, status: number, contentType: string])[] = [
  ["/v2/", 200, "application/json"],
  ["/v2", 200, "application/json"],
  ["/v2/fixed/a/manifests/latest", 200, OCI_MANIFEST],
  ["/v2/fixed/index/manifests/latest", 200, OCI_INDEX],
  ["/v2/fixed/docker/manifests/latest", 200, DOCKER_MANIFEST],
  ["/v2/fixed/list/manifests/latest", 200, DOCKER_LIST],
  ["/v2/fixed/a/tags/list", 200, "application/json"],
  [`/v2/fixed/a/referrers/sha256:${HEX}`, 200, OCI_INDEX],
  [`/v2/fixed/a/blobs/${small.digest}`, 200, small.mediaType],
  [`/v2/fixed/a/blobs/${warm.digest}`, 200, warm.mediaType],
  [`/v2/fixed/a/blobs/${large.digest}`, 200, large.mediaType],
  [`/v2/fixed/a/blobs/sha256:${HEX}`, 404, "application/json"],
  ["/v2/fixed/a/blobs/sha256:bad", 400, "application/json"],
  ["/v2/fixed/a/blobs/uploads/", 404, "application/json"],
  [`/v2/${"a/".repeat(100)}a/tags/list`, 404, "application/json"],
  [`/v2/${"A".repeat(2000)}/tags/list`, 400, "application/json"],
  ["/v2/fixed/none/manifests/latest", 404, "application/json"],
  ["/v2/_catalog", 404, "application/json"],
  ["/nothing", 404, "application/json"],
  ["/", 404, "application/json"],
  ["/swagger", 200, "text/html; charset=utf-8"],
  ["/swagger/json", 200, "application/json"],
  ["/swagger/script.js", 200, "text/javascript; charset=utf-8"],
  ["/swagger/style.css", 200, "text/css; charset=utf-8"],
  ["/swagger/favicon.png", 200, "image/png"],
]

describe.each(["source", "binary"] as Mode[])("headers from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    const amd64 = await image()
    const docker = await image({ family: "docker" })
    const a = await image({ layers: [small, warm, large, ...cold] })
    const list = index([[docker, platform("amd64")]], { family: "docker" })
    const images = { a, docker, list, index: index([[amd64, platform("amd64")]]) }
    server = await startPullServer({ mode, images, registry: { defaultPlatform: "linux/amd64" } })
    for (const blob of [small, warm, large]) await server.warm("a", blob)
  })
  afterAll(async () => await server.stop())

  test.each(PATHS)("[M3] [M4] [1.4] GET and HEAD of %s agree: %p, %s, with a length", async (path, status, type) => {
    const get = await server.raw("GET", path)
    const head = await server.raw("HEAD", path)

    for (const answer of [get, head]) {
      expect([answer.status, answer.header("content-type")]).toEqual([status, type])
      expect(answer.header("content-length")).toBe(String(get.body.byteLength))
      expect(answer.header("transfer-encoding")).toBeNull()
    }
    expect(get.isComplete).toBe(true)
    expect(head.body.byteLength).toBe(0)
    for (const name of ["docker-content-digest", "etag", "cache-control", "accept-ranges", "vary"]) {
      expect([name, head.header(name)]).toEqual([name, get.header(name)])
    }
  })

  test.each(PATHS)("[1.4] %s has the headers that every answer has and none that belongs to pushes", async (path) => {
    const answer = await server.raw("GET", path)

    expect(answer.header("docker-distribution-api-version")).toBe("registry/2.0")
    expect(answer.header("x-content-type-options")).toBe("nosniff")
    for (const name of ["oci-subject", "oci-tag", "oci-chunk-min-length", "warning", "location", "www-authenticate"]) {
      expect([name, answer.header(name)]).toEqual([name, null])
    }
  })

  test.each(PATHS)("[1.4] %s tells no name of a file on the server", async (path) => {
    for (const headers of [{}, { Range: "bytes=0-" }, { Range: "bytes=0-99999" }]) {
      const answer = await server.raw("GET", path, headers)
      expect(answer.header("content-disposition") ?? "").toBe("")
    }
  })

  test.each(ENCODINGS)("[B3] Accept-Encoding: %s never gets anything encoded", async (encoding) => {
    for (const [path] of PATHS.filter(([, status]) => status === 200)) {
      const plain = await server.raw("GET", path)
      for (const method of ["GET", "HEAD"]) {
        const answer = await server.raw(method, path, { "Accept-Encoding": encoding })
        expect([path, answer.header("content-encoding")]).toEqual([path, null])
        expect(answer.header("content-length")).toBe(String(plain.body.byteLength))
        if (method === "GET") expect(answer.body.equals(plain.body)).toBe(true)
      }
    }
  })

  test("[B3] Accept-Encoding does not change a range, of a blob in the store or on its way", async () => {
    for (const [index, encoding] of ENCODINGS.entries()) {
      for (const blob of [warm, large, cold[index] ?? large]) {
        const headers = { "Accept-Encoding": encoding, Range: "bytes=1000-" }
        const answer = await server.raw("GET", `/v2/fixed/a/blobs/${blob.digest}`, headers)
        expect([answer.status, answer.header("content-encoding")]).toEqual([206, null])
        expect(answer.body.equals(blob.bytes.subarray(1000))).toBe(true)
      }
    }
  })

  test("[M9] manifests have a quoted ETag that is their digest", async () => {
    for (const [path] of PATHS.filter(([path]) => path.includes("/manifests/latest") && !path.includes("none"))) {
      const answer = await server.raw("GET", path)
      expect(answer.header("etag")).toBe(`"${answer.header("docker-content-digest")}"`)
    }
  })
})
