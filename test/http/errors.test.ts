import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { type ErrorBody, type PullServer, startPullServer } from "../helpers/pull-server.ts"

/** distribution-spec, "Error Codes": no other may be in an answer with 4xx. */
const CODES = new Set([
  "BLOB_UNKNOWN",
  "BLOB_UPLOAD_INVALID",
  "BLOB_UPLOAD_UNKNOWN",
  "DIGEST_INVALID",
  "MANIFEST_BLOB_UNKNOWN",
  "MANIFEST_INVALID",
  "MANIFEST_UNKNOWN",
  "NAME_INVALID",
  "NAME_UNKNOWN",
  "SIZE_INVALID",
  "UNAUTHORIZED",
  "DENIED",
  "UNSUPPORTED",
  "TOOMANYREQUESTS",
])

const PARTS = [
  "",
  "fixed",
  "a",
  "none",
  "A",
  "..",
  "%00",
  "%zz",
  "v2",
  "manifests",
  "blobs",
  "uploads",
  "tags",
  "list",
  "referrers",
  "latest",
  "sha256:bad",
  `sha256:${"0".repeat(64)}`,
  `sha256-${"0".repeat(64)}.sig`,
  "x".repeat(300),
]

/** Every path of up to three parts after a name, which holds all mistakes in one request. */
const paths = (name: string): readonly string[] =>
  PARTS.flatMap((one) => [`${name}/${one}`, ...PARTS.map((other) => `${name}/${one}/${other}`)])

describe.each(["source", "binary"] as Mode[])("errors from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    server = await startPullServer({ mode, images: { a: await image() } })
  })
  afterAll(async () => await server.stop())

  test.each(["/v2/fixed/a", "/v2/fixed", "/v2", "/v2/fixed/none", ""])(
    "[1.4] whatever is asked for below %p is answered, in the form of the specification",
    async (name) => {
      for (const path of paths(name)) {
        const response = await server.facade.get(path)
        const text = await response.text()
        if (response.status < 300) continue
        expect([path, response.status < 500, response.headers.get("content-type")]).toEqual([
          path,
          true,
          "application/json",
        ])
        const { errors } = JSON.parse(text) as ErrorBody
        expect([path, errors.length, CODES.has(errors[0]?.code ?? "")]).toEqual([path, 1, true])
        expect(errors[0]?.message.length).toBeGreaterThan(10)
        expect(response.headers.get("cache-control")).toBe("no-store")
      }
    },
  )

  test("[1.4] HEAD of what is wrong has the status of GET and no body", async () => {
    for (const path of paths("/v2/fixed/a")) {
      const get = await server.facade.get(path)
      await get.arrayBuffer()
      const head = await server.facade.get(path, { method: "HEAD" })
      expect([path, head.status, (await head.arrayBuffer()).byteLength]).toEqual([path, get.status, 0])
    }
  })

  test.each(["?n=1&n=2", "?n[]=1", "?=", "?&&&", "?last=%", "?ns=%00", `?${"a=1&".repeat(500)}`, "?artifactType=%ff"])(
    "[1.4] the query %s is never the server's fault",
    async (query) => {
      for (const path of ["/v2/", "/v2/fixed/a/tags/list", "/v2/fixed/a/manifests/latest", "/v2/none/tags/list"]) {
        expect((await server.raw("GET", `${path}${query}`)).status).toBeLessThan(500)
      }
    },
  )

  test("[1.4] a name that holds markup or quotes comes back as JSON, not as markup", async () => {
    const answer = await server.raw("GET", '/v2/%3Cscript%3E"%22/manifests/latest')

    expect([answer.status, answer.header("content-type")]).toEqual([400, "application/json"])
    expect(answer.header("x-content-type-options")).toBe("nosniff")
    expect(() => JSON.parse(answer.body.toString())).not.toThrow()
  })
})
