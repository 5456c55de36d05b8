import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { STATUS } from "../../src/oci/error.ts"
import { image, type TestImage } from "../helpers/images.ts"
import { type AnswerCheck, createAnswerCheck, type OpenApi, readOpenApi } from "../helpers/openapi.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"

const ZEROS = `sha256:${"0".repeat(64)}`
const MANIFEST = "/v2/{name}/manifests/{reference}"
const BLOB = "/v2/{name}/blobs/{digest}"
const TAGS = "/v2/{name}/tags/list"
const REFERRERS = "/v2/{name}/referrers/{digest}"

describe("what the document says of answers", () => {
  let base: TestImage
  let server: PullServer
  let api: OpenApi
  let check: AnswerCheck

  beforeAll(async () => {
    base = await image()
    const missing = (host: string) => ({
      gone: { baseRef: `${host}/lab/gone:1` },
      broken: { baseRef: `${host}/lab/x:1` },
    })
    server = await startPullServer({ mode: "source", images: { a: base }, specs: missing })
    server.upstream.roles.push((_, { pathname }) =>
      pathname.includes("/lab/x/") ? new Response("no", { status: 503 }) : null,
    )
    api = await readOpenApi((path) => server.raw("GET", path))
    check = createAnswerCheck(api, ["docker-distribution-api-version"])
  })
  afterAll(async () => await server.stop())

  const layer = () => base.layers[0]?.digest ?? ""
  const cases: readonly (readonly [string, string, () => string, Readonly<Record<string, string>>, number])[] = [
    ["a registry", "/v2/", () => "/v2/", {}, 200],
    ["a tag", MANIFEST, () => "/v2/fixed/a/manifests/latest", {}, 200],
    ["a part of a manifest", MANIFEST, () => "/v2/fixed/a/manifests/latest", { Range: "bytes=0-1" }, 206],
    ["a range outside a manifest", MANIFEST, () => "/v2/fixed/a/manifests/latest", { Range: "bytes=9999999-" }, 416],
    ["an unknown name", MANIFEST, () => "/v2/fixed/b/manifests/latest", {}, 404],
    ["an unknown digest", MANIFEST, () => `/v2/fixed/a/manifests/${ZEROS}`, {}, 404],
    ["a malformed digest", MANIFEST, () => "/v2/fixed/a/manifests/sha256:1", {}, 400],
    ["a base that is gone", MANIFEST, () => "/v2/fixed/gone/manifests/latest", {}, 404],
    ["an upstream that fails", MANIFEST, () => "/v2/fixed/broken/manifests/latest", {}, 503],
    ["a blob", BLOB, () => `/v2/fixed/a/blobs/${layer()}`, {}, 200],
    ["a part of a blob", BLOB, () => `/v2/fixed/a/blobs/${layer()}`, { Range: "bytes=0-1" }, 206],
    ["a range outside a blob", BLOB, () => `/v2/fixed/a/blobs/${layer()}`, { Range: "bytes=9999999-" }, 416],
    ["an unknown blob", BLOB, () => `/v2/fixed/a/blobs/${ZEROS}`, {}, 404],
    ["a malformed blob", BLOB, () => "/v2/fixed/a/blobs/x", {}, 400],
    ["tags", TAGS, () => "/v2/fixed/a/tags/list", {}, 200],
    ["no tags", TAGS, () => "/v2/fixed/a/tags/list?n=0", {}, 200],
    ["tags of an unknown name", TAGS, () => "/v2/fixed/b/tags/list", {}, 404],
    ["a wrong number of tags", TAGS, () => "/v2/fixed/a/tags/list?n=x", {}, 400],
    ["referrers", REFERRERS, () => `/v2/fixed/a/referrers/${ZEROS}`, {}, 200],
    ["referrers of a type", REFERRERS, () => `/v2/fixed/a/referrers/${ZEROS}?artifactType=x`, {}, 200],
    ["referrers of a malformed digest", REFERRERS, () => "/v2/fixed/a/referrers/x", {}, 400],
  ]

  test.each(cases)("holds for %s", async (_, path, url, headers, status) => {
    const answer = await server.raw("GET", url(), headers)

    expect(answer.status).toBe(status)
    check(answer, path)
  })

  test("holds for what a client has already", async () => {
    const digest = (await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).header("docker-content-digest") ?? ""
    const answer = await server.raw("GET", "/v2/fixed/a/manifests/latest", { "If-None-Match": `"${digest}"` })

    expect(answer.status).toBe(304)
    check(answer, MANIFEST)
  })

  test("names the codes of errors that there are", () => {
    const text = JSON.stringify(api.components.schemas["Errors"])

    expect(text).toContain(`"enum":${JSON.stringify(Object.keys(STATUS))}`)
  })
})
