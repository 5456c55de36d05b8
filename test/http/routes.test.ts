import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, OCI_MANIFEST } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"

const HEX = "0123456789abcdef".repeat(4)

describe.each(["source", "binary"] as Mode[])("routes from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    const one = await image()
    const images = { a: one, "a--b/c__d.e": one, "blobs/tags": one, "x/blobs/manifests": one, "uploads/y": one }
    server = await startPullServer({ mode, images })
  })
  afterAll(async () => await server.stop())

  const status = async (path: string) => (await server.raw("GET", path)).status
  const codes = async (path: string) => {
    const answer = await server.raw("GET", path)
    return [answer.status, ...errorsOf(answer).map(({ code }) => code)]
  }

  test.each(["/v2/", "/v2", "/v2/?ns=docker.io", "/v2?n=1"])("[R1] GET %s is 200 with {}", async (path) => {
    const answer = await server.raw("GET", path)

    expect([answer.status, answer.body.toString()]).toEqual([200, "{}"])
    expect(answer.header("content-type")).toBe("application/json")
    expect(answer.header("docker-distribution-api-version")).toBe("registry/2.0")
  })

  test.each(["/v2/", "/v2"])("[R1] HEAD %s has the headers of GET", async (path) => {
    const answer = await server.raw("HEAD", path)

    expect([answer.status, answer.body.toString()]).toEqual([200, ""])
    expect(answer.header("content-type")).toBe("application/json")
    expect(answer.header("content-length")).toBe("2")
  })

  test.each(["fixed/a--b/c__d.e", "fixed/blobs/tags", "fixed/x/blobs/manifests", "fixed/uploads/y"])(
    "[R2] %s is a name",
    async (name) => {
      expect(await status(`/v2/${name}/manifests/latest`)).toBe(200)
      expect(await status(`/v2/${name}/tags/list`)).toBe(200)
    },
  )

  test.each(["a", "0", "a-b", "a---b", "a.b_c__d-e", "a/b/c/d/e/f", "x".repeat(255)])(
    "[R2] %s is a name that could exist",
    async (name) => {
      expect(await codes(`/v2/${name}/manifests/latest`)).toEqual([404, "MANIFEST_UNKNOWN"])
    },
  )

  test.each([
    "A/b",
    "a//b",
    "/a",
    "a/",
    "a/_b",
    "a.",
    ".a",
    "a___b",
    "a..b",
    "-a",
    "a-",
    "a_-b",
    "a+b",
    "a:b",
    "a@b",
    "a~b",
    "é",
    "x".repeat(256),
  ])("[R2] [R4] %s is no name: 400 NAME_INVALID on every route", async (name) => {
    const path = Buffer.from(`/v2/${name}`).toString("latin1") // sent as its UTF-8 bytes

    expect(await codes(`${path}/manifests/latest`)).toEqual([400, "NAME_INVALID"])
    expect(await codes(`${path}/blobs/sha256:${HEX}`)).toEqual([400, "NAME_INVALID"])
    expect(await codes(`${path}/tags/list`)).toEqual([400, "NAME_INVALID"])
    expect(await codes(`${path}/referrers/sha256:${HEX}`)).toEqual([400, "NAME_INVALID"])
  })

  test.each([
    ["manifests/latest", "MANIFEST_UNKNOWN"],
    [`manifests/sha256:${HEX}`, "MANIFEST_UNKNOWN"],
    [`blobs/sha256:${HEX}`, "BLOB_UNKNOWN"],
    ["tags/list", "NAME_UNKNOWN"],
  ])("[R4] %s of an unknown name is 404 %s", async (route, code) => {
    for (const name of ["fixed/zzz", "fixed/a/zzz", "zzz", "other/a"]) {
      expect([name, ...(await codes(`/v2/${name}/${route}`))]).toEqual([name, 404, code])
      expect((await server.raw("HEAD", `/v2/${name}/${route}`)).status).toBe(404)
    }
  })

  test.each([
    "/",
    "//v2/",
    "/v2//",
    "/V2/",
    "/v2x",
    "/v3/",
    "/%76%32/",
    "/v2/a/b/zzz",
    "/v2/fixed",
    "/v2/fixed/a",
    "/v2/fixed/a/tags",
    "/v2/fixed/a/tags/",
    "/v2/fixed/a/tags/other",
    "/v2/fixed/a/tags/list/",
    "/v2/fixed/a/manifests/latest/",
    "/v2/_oci/ext/discover",
    "/v2/manifests/latest/x",
  ])("[R4] nothing is at %s: 404, never a 200", async (path) => {
    expect(await codes(path)).toEqual([404, "NAME_UNKNOWN"])
  })

  test("[2.1] the catalogue is 404 UNSUPPORTED", async () => {
    expect(await codes("/v2/_catalog")).toEqual([404, "UNSUPPORTED"])
    expect(await codes("/v2/_catalog?n=1000000000")).toEqual([404, "UNSUPPORTED"])
  })

  test.each(["a", "_a", "1.2.3", "A-Z_a.z", "x".repeat(128)])("[R5] %s is a tag", async (tag) => {
    const answer = await server.raw("GET", `/v2/fixed/a/manifests/${tag}`)

    expect([answer.status, answer.header("content-type")]).toEqual([200, OCI_MANIFEST])
  })

  test.each(["x".repeat(129), ".x", "-x", "a~b", "a+b", "a%20b", "%C3%A9", "a@b", "x".repeat(5000)])(
    "[R5] %s is no tag: 404 MANIFEST_UNKNOWN",
    async (tag) => {
      expect(await codes(`/v2/fixed/a/manifests/${tag}`)).toEqual([404, "MANIFEST_UNKNOWN"])
    },
  )

  test.each([
    "sha256:baddigeststring",
    `sha256:${HEX.toUpperCase()}`,
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX}0`,
    `sha256:${HEX.slice(1)}g`,
    `sha256:${HEX.slice(1)}=`,
    "sha256:",
    ":",
    `:${HEX}`,
    `sha512:${HEX}`,
    `blake3:${HEX}${HEX}`,
    `SHA256:${HEX}`,
    `sha256:${HEX}:x`,
    "a:b:c",
    "a b:c",
  ])("[R6] [R8] D-6: %s is a malformed digest: 400 DIGEST_INVALID", async (digest) => {
    for (const route of ["manifests", "blobs", "referrers"]) {
      const path = `/v2/fixed/a/${route}/${digest.replace(" ", "%20")}`
      expect([route, ...(await codes(path))]).toEqual([route, 400, "DIGEST_INVALID"])
    }
  })

  test.each([`sha256:${HEX}`, `sha512:${HEX}${HEX}`, `blake3:${HEX}`, "md5:abc", "a+b.c_d-e:A=_-9"])(
    "[R8] %s is well-formed and unknown: 404",
    async (digest) => {
      expect(await codes(`/v2/fixed/a/manifests/${digest}`)).toEqual([404, "MANIFEST_UNKNOWN"])
      expect(await codes(`/v2/fixed/a/blobs/${digest}`)).toEqual([404, "BLOB_UNKNOWN"])
    },
  )

  test.each([
    "/v2/fixed/%61/manifests/latest",
    "/v2/fixed/a/manifests/%6Catest",
    "/v2/fixed/a/%6danifests/latest",
    "/v2/%66ixed/a/manifests/latest?x=%2F",
  ])("[R9] %s is decoded", async (path) => {
    expect(await status(path)).toBe(200)
  })

  test("[R9] a digest may have its colon encoded", async () => {
    const digest = (await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).header("docker-content-digest") ?? ""

    expect(await status(`/v2/fixed/a/manifests/${digest.replace(":", "%3A")}`)).toBe(200)
    expect(await status(`/v2/fixed/a/manifests/${digest.replace(":", "%3a")}`)).toBe(200)
  })

  test.each([
    "/v2/fixed%2Fa/manifests/latest",
    "/v2/fixed%2fa/manifests/latest",
    "/v2/fixed%5Ca/manifests/latest",
    "/v2/fixed/%2561/manifests/latest",
    "/v2/fixed/..%2Fa/manifests/latest",
    "/v2/fixed/a%00/manifests/latest",
    "/v2/fixed/a/manifests/%zz",
    "/v2/fixed/a/manifests/%",
    "/v2/fixed/a/manifests/%ff",
    "/v2/fixed/a/manifests/la%0Atest",
    "/v2/fixed/a/manifests/la%7Ftest",
  ])("[R9] %s is 400 NAME_INVALID", async (path) => {
    expect(await codes(path)).toEqual([400, "NAME_INVALID"])
  })

  test.each([
    ["/v2/x/blobs/manifests/t", "MANIFEST_UNKNOWN"],
    [`/v2/manifests/blobs/sha256:${HEX}`, "BLOB_UNKNOWN"],
    ["/v2/tags/tags/list", "NAME_UNKNOWN"],
    [`/v2/blobs/uploads/blobs/sha256:${HEX}`, "BLOB_UNKNOWN"],
    ["/v2/referrers/manifests/manifests/list", "MANIFEST_UNKNOWN"],
  ])("[R10] %s is read from the right: 404 %s", async (path, code) => {
    expect(await codes(path)).toEqual([404, code])
  })

  test.each(["ns=example.test%3A5000", "ns=", "ns=a&ns=b", "ns", "ns[]=a", "__proto__=x&constructor=y", "%zz=%zz"])(
    "[R11] ?%s changes nothing",
    async (query) => {
      const plain = await server.raw("GET", "/v2/fixed/a/manifests/latest")
      const answer = await server.raw("GET", `/v2/fixed/a/manifests/latest?${query}`)

      expect([answer.status, answer.header("etag")]).toEqual([200, plain.header("etag")])
      expect(answer.header("oci-namespace")).toBeNull()
    },
  )

  test("[R13] what a client authenticates with never goes upstream", async () => {
    await server.raw("GET", "/v2/fixed/a/manifests/latest", { Authorization: "Basic Y2FuYXJ5OnNlY3JldA==" })

    expect(server.upstream.seen.length).toBeGreaterThan(0)
    expect(server.upstream.seen.map(({ headers }) => headers.get("authorization"))).not.toContain(
      "Basic Y2FuYXJ5OnNlY3JldA==",
    )
  })
})
