import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer } from "../helpers/images.ts"
import {
  type AnswerCheck,
  createAnswerCheck,
  documentationTests,
  type OpenApi,
  readOpenApi,
} from "../helpers/openapi.ts"
import { rawRequest } from "../helpers/raw-http.ts"
import { hardlink, rawLayer, symlink, whiteout } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(20_000)

const FILE = "/{image}/{path}"
const PROXY = "/{image}/__files__/{path}"
const PAGE = "/-/images/{image}"
const DATA = "/-/api/v1/images/{image}"

describe.each(["source", "binary"] as Mode[])("documentation of blobserve's port from %s", (mode) => {
  let upstream: UpstreamServer
  let server: FileServer
  let api: OpenApi
  let check: AnswerCheck

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
    api = await readOpenApi((path) => raw("GET", path))
    check = createAnswerCheck(api)
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
  documentationTests(
    () => api,
    (path) => raw("GET", path),
  )

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
    check(answer, path)
  })

  test("holds for what may be done", async () => {
    const answer = await raw("OPTIONS", at("f"), origin)

    expect(answer.status).toBe(204)
    check(answer, FILE, "options")
  })
})
