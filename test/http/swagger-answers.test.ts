import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import Ajv from "ajv"
import { STATUS } from "../../src/oci/error.ts"
import { image, type TestImage } from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"
import type { RawAnswer } from "../helpers/raw-http.ts"

interface Answer {
  readonly headers?: Readonly<Record<string, unknown>>
  readonly content?: Readonly<Record<string, { readonly schema?: object }>>
}

interface Operation {
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly schema: { readonly type: string }
  }[]
  readonly responses: Readonly<Record<string, Answer>>
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, { readonly properties: unknown }>> }
}

/** What every answer has, so that it is not told of each. */
const COMMON = ["date", "connection", "content-type", "transfer-encoding", "docker-distribution-api-version"].concat(
  "x-content-type-options",
)
const ZEROS = `sha256:${"0".repeat(64)}`
const MANIFEST = "/v2/{name}/manifests/{reference}"
const BLOB = "/v2/{name}/blobs/{digest}"
const TAGS = "/v2/{name}/tags/list"
const REFERRERS = "/v2/{name}/referrers/{digest}"

const namesOf = ({ headers }: RawAnswer): readonly string[] =>
  headers.map(([name]) => name).filter((name) => !COMMON.includes(name))

describe("what the document says of answers", () => {
  let base: TestImage
  let server: PullServer
  let api: OpenApi
  let ajv: Ajv

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
    api = JSON.parse((await server.raw("GET", "/swagger/json")).body.toString())
    ajv = new Ajv({ strict: false }).addSchema({ $id: "api", ...api })
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
    const told = api.paths[path]?.["get"]?.responses[String(status)]
    const answer = await server.raw("GET", url(), headers)
    const names = namesOf(answer)
    const toldNames = Object.keys(told?.headers ?? {}).map((name) => name.toLowerCase())
    const type = answer.header("content-type") ?? ""

    expect(answer.status).toBe(status)
    expect(names.filter((name) => !toldNames.includes(name))).toEqual([])
    expect(Object.keys(told?.content ?? {})).toContain(
      status < 300 && path === BLOB ? "application/octet-stream" : type,
    )
    if (type === "application/json") {
      const pointer = ["paths", path, "get", "responses", String(status), "content", type, "schema"]
      const reference = pointer
        .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
        .join("/")
      const isValid = ajv.compile({ $ref: `api#/${reference}` })
      expect([isValid(JSON.parse(answer.body.toString())), isValid.errors]).toEqual([true, null])
    }
  })

  test("holds for what a client has already", async () => {
    const digest = (await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).header("docker-content-digest") ?? ""
    const answer = await server.raw("GET", "/v2/fixed/a/manifests/latest", { "If-None-Match": `"${digest}"` })
    const told = Object.keys(api.paths[MANIFEST]?.["get"]?.responses["304"]?.headers ?? {})

    expect(answer.status).toBe(304)
    const names = namesOf(answer)
    expect(names.filter((name) => !told.map((each) => each.toLowerCase()).includes(name))).toEqual([])
  })

  test("names the codes of errors that there are", () => {
    const text = JSON.stringify(api.components.schemas["Errors"])

    expect(text).toContain(`"enum":${JSON.stringify(Object.keys(STATUS))}`)
  })

  test("gives every parameter a type", () => {
    const parameters = Object.values(api.paths).flatMap((path) =>
      Object.values(path).flatMap(({ parameters = [] }) => parameters),
    )

    expect(parameters.length).toBeGreaterThan(20)
    for (const { name, schema } of parameters) {
      expect([name, schema.type]).toEqual([name, name === "n" ? "integer" : "string"])
    }
  })
})
