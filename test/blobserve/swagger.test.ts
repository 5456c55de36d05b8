import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import Ajv from "ajv"
import type { Mode } from "../helpers/facade.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer } from "../helpers/images.ts"
import { type RawAnswer, rawRequest } from "../helpers/raw-http.ts"
import { hardlink, rawLayer, symlink, whiteout } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(20_000)

interface Operation {
  readonly operationId: string
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required: boolean
    readonly schema: { readonly type: string }
  }[]
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly headers?: Readonly<Record<string, unknown>>
        readonly content?: Readonly<Record<string, unknown>>
      }
    >
  >
}

interface OpenApi {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

/** What every answer has, so that it is not told of each. */
const COMMON = ["date", "connection", "content-type", "transfer-encoding", "x-content-type-options"]
const FILE = "/{image}/{path}"
const PROXY = "/{image}/__files__/{path}"
const PAGE = "/-/images/{image}"
const DATA = "/-/api/v1/images/{image}"

describe.each(["source", "binary"] as Mode[])("documentation of blobserve's port from %s", (mode) => {
  let upstream: UpstreamServer
  let server: FileServer
  let api: OpenApi
  let ajv: Ajv

  beforeAll(async () => {
    upstream = startUpstream()
    const top = rawLayer([
      { name: "dir/index.html", content: "page", mtime: 86_400 },
      { name: "f", content: "content" },
      symlink("link", "f"),
      hardlink("same", "f"),
      whiteout("gone"),
    ])
    upstream.add("lab/app", "1", await image({ layers: [await layer({ gone: "x", f: "old" }), top] }))
    upstream.add("lab/broken", "1", await image({ layers: [rawLayer([{ name: "x", flag: "Z" }])] }))
    upstream.roles.push((_, { pathname }) =>
      pathname.includes("/lab/limited/")
        ? new Response("no", { status: 429, headers: { "retry-after": "100" } })
        : pathname.includes("/lab/failing/")
          ? new Response("no", { status: 500 })
          : null,
    )
    const repos = Object.fromEntries(
      ["app", "broken", "limited", "failing"].map((name) => [
        `${upstream.host}/lab/${name}`,
        { layers: "all", cors: ["https://acme.example"] },
      ]),
    )
    server = await startFiles({ mode, blobserve: { repos } })
    api = JSON.parse(await server.text("/swagger/json"))
    ajv = new Ajv({ strict: false, formats: { "date-time": true, binary: true } }).addSchema({ $id: "api", ...api })
    await until(async () => (await server.get(at("f"))).headers.get("cache-control") !== "no-store")
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  const at = (path: string, name = "app:1"): string => `/${upstream.host}/lab/${name}/${path}`
  const raw = async (method: string, path: string, headers: Readonly<Record<string, string>> = {}) => {
    const { host } = new URL(server.url)
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
    return await rawRequest(host, [`${method} ${path} HTTP/1.1`, `Host: ${host}`, ...lines])
  }
  const operations = () =>
    Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )

  test("is an OpenAPI 3 document in which every parameter and every reference is told", () => {
    expect(api.openapi).toMatch(/^3\.\d+\.\d+$/)
    const ids = operations().map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { path, operation } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "")
      const described = (operation.parameters ?? []).filter((parameter) => parameter.in === "path")
      expect([path, described.map(({ name }) => name).sort()]).toEqual([path, inPath.sort()])
      expect((operation.parameters ?? []).map(({ schema }) => schema.type)).not.toContain(undefined)
      for (const { description } of Object.values(operation.responses)) expect(description).not.toBe("")
    }
    const references = [...JSON.stringify(api).matchAll(/"\$ref":"([^"]+)"/g)].map(([, target]) => target ?? "")
    expect(references.length).toBeGreaterThan(0)
    for (const reference of references)
      expect(Object.keys(api.components.schemas)).toContain(reference.replace("#/components/schemas/", ""))
  })

  test("has every route of the port, and no other, with the methods that it takes", async () => {
    expect(Object.keys(api.paths).sort()).toEqual([PAGE, DATA, FILE, PROXY].sort())
    for (const [path, url] of [
      [FILE, at("f")],
      [PROXY, at("__files__/f")],
      [PAGE, `/-/images/${upstream.host}/lab/app:1`],
      [DATA, `/-/api/v1/images/${upstream.host}/lab/app:1`],
    ] as const) {
      for (const method of ["get", "head", "options", "post", "put", "delete", "patch"]) {
        const { status } = await raw(method.toUpperCase(), url)
        expect([path, method, status]).toEqual([
          path,
          method,
          api.paths[path]?.[method] === undefined ? 405 : expect.any(Number),
        ])
        if (api.paths[path]?.[method] !== undefined) expect([200, 204]).toContain(status)
      }
    }
    expect((await raw("GET", "/-/other")).status).toBe(404)
    expect((await raw("GET", "/-/api/v1/other")).status).toBe(404)
  })

  const image_ = (name = "app:1") => `${upstream.host}/lab/${name}`
  const origin = { Origin: "https://acme.example" }
  const cases: readonly (readonly [string, string, () => string, Readonly<Record<string, string>>, number])[] = [
    ["a file", FILE, () => at("f"), origin, 200],
    ["a file by the proxies' path", PROXY, () => at("__files__/f"), {}, 200],
    ["a part", FILE, () => at("f"), { Range: "bytes=0-1" }, 206],
    ["a directory without its slash", FILE, () => at("dir"), {}, 302],
    ["a page", FILE, () => at("dir/"), {}, 200],
    ["what the client has", FILE, () => at("dir/index.html"), { "If-None-Match": "*" }, 304],
    ["a time", FILE, () => at("dir/index.html"), { "If-Modified-Since": "Fri, 02 Jan 1970 00:00:00 GMT" }, 304],
    ["a range outside", FILE, () => at("f"), { Range: "bytes=99-" }, 416],
    ["an encoding that is none", FILE, () => at("%zz"), {}, 400],
    ["a repository that is not served", FILE, () => at("f", "other:1"), {}, 403],
    ["a file that is not there", FILE, () => at("none"), {}, 404],
    ["an image that is not there", FILE, () => at("f", "app:2"), {}, 404],
    ["a layer that cannot be read", FILE, () => at("x", "broken:1"), {}, 502],
    ["a page about an image", PAGE, () => `/-/images/${image_()}`, {}, 200],
    ["a page about no image", PAGE, () => `/-/images/${image_("app:2")}`, {}, 404],
    ["an image as data", DATA, () => `/-/api/v1/images/${image_()}`, {}, 200],
    ["a directory as data", DATA, () => `/-/api/v1/images/${image_()}?path=dir`, {}, 200],
    ["no image as data", DATA, () => `/-/api/v1/images/${image_("app:2")}`, {}, 404],
    ["data of what cannot be read", DATA, () => `/-/api/v1/images/${image_("broken:1")}`, {}, 502],
    // Last, because an upstream that is in trouble is left alone for a while
    ["an upstream that fails", FILE, () => at("x", "failing:1"), {}, 503],
    ["an upstream's limit", FILE, () => at("f", "limited:1"), {}, 429],
  ]

  test.each(cases)("holds for %s", async (_, path, url, headers, status) => {
    const answer = await raw("GET", url(), headers)

    expect(answer.status).toBe(status)
    check(answer, path, "get")
  })

  test("holds for what may be done", async () => {
    const answer = await raw("OPTIONS", at("f"), origin)

    expect(answer.status).toBe(204)
    check(answer, FILE, "options")
  })

  function check(answer: RawAnswer, path: string, method: string): void {
    const told = api.paths[path]?.[method]?.responses[String(answer.status)]
    const toldNames = Object.keys(told?.headers ?? {}).map((name) => name.toLowerCase())
    const names = answer.headers.map(([name]) => name).filter((name) => !COMMON.includes(name))
    expect(told).toBeDefined()
    expect(names.filter((name) => !toldNames.includes(name))).toEqual([])
    const type = answer.header("content-type")
    if (type === null || answer.body.byteLength === 0) return
    const known = Object.keys(told?.content ?? {})
    const key = known.includes("*/*") ? "*/*" : type
    expect(known).toContain(key)
    if (type !== "application/json") return
    const pointer = ["paths", path, method, "responses", String(answer.status), "content", key, "schema"]
      .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
      .join("/")
    const isValid = ajv.compile({ $ref: `api#/${pointer}` })
    expect([isValid(JSON.parse(answer.body.toString())), isValid.errors]).toEqual([true, null])
  }

  test("/swagger is a page that needs no other host", async () => {
    const page = await raw("GET", "/swagger")
    const html = page.body.toString()
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? "")

    expect([page.status, page.header("content-type")]).toEqual([200, "text/html; charset=utf-8"])
    expect(html).not.toMatch(/https?:|"\/\//)
    expect(links.length).toBeGreaterThan(2)
    for (const link of links) {
      const { pathname } = new URL(link, "http://localhost/swagger")
      const answer = await raw("GET", pathname)
      expect([pathname, answer.status, answer.body.byteLength > 100]).toEqual([pathname, 200, true])
      expect(answer.header("x-content-type-options")).toBe("nosniff")
    }
  })
})
