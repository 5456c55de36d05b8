import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, type TestImage } from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[]
  readonly responses: Readonly<Record<string, { readonly description: string }>>
}

interface OpenApi {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

describe.each(["source", "binary"] as Mode[])("documentation from %s", (mode) => {
  let base: TestImage
  let server: PullServer
  let api: OpenApi

  beforeAll(async () => {
    base = await image()
    server = await startPullServer({ mode, images: { a: base } })
    api = JSON.parse((await server.raw("GET", "/swagger/json")).body.toString())
  })
  afterAll(async () => await server.stop())

  const operations = () =>
    Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
    )

  test("/swagger/json is an OpenAPI 3 document in which nothing that is required is missing", () => {
    expect(api.openapi).toMatch(/^3\.\d+\.\d+$/)
    expect(api.info).toMatchObject({ title: "registry-facade", version: expect.stringMatching(/^\d+\.\d+\.\d+/) })
    for (const { path, operation } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "")
      const described = (operation.parameters ?? []).filter((parameter) => parameter.in === "path")
      expect([path, described.map(({ name }) => name).sort()]).toEqual([path, inPath.sort()])
      expect(described.every(({ required }) => required === true)).toBe(true)
      expect(Object.keys(operation.responses).length).toBeGreaterThan(0)
      for (const [status, { description }] of Object.entries(operation.responses)) {
        expect([status, description.length > 0]).toEqual([status, true])
        expect(status).toMatch(/^[1-5]\d\d$|^default$/)
      }
    }
  })

  test("operations have names that differ", () => {
    const ids = operations().map(({ operation }) => operation.operationId)

    expect(new Set(ids).size).toBe(ids.length)
  })

  test("every reference inside the document leads somewhere", () => {
    const references = [...JSON.stringify(api).matchAll(/"\$ref":"([^"]+)"/g)].map(([, target]) => target ?? "")

    expect(references.length).toBeGreaterThan(0)
    for (const reference of references) {
      expect(Object.keys(api.components.schemas)).toContain(reference.replace("#/components/schemas/", ""))
    }
  })

  test("every route that is documented answers, with a status that is documented", async () => {
    const manifest = (await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).header("docker-content-digest") ?? ""
    const values: Readonly<Record<string, string>> = {
      name: "fixed/a",
      reference: "latest",
      digest: base.layers[0]?.digest ?? manifest,
    }
    expect(operations().length).toBeGreaterThan(8)
    for (const { path, method, operation } of operations()) {
      const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "")
      const answer = await server.raw(method.toUpperCase(), filled)
      expect([method, filled, answer.status]).toEqual([method, filled, 200])
      expect(Object.keys(operation.responses)).toContain("200")
    }
  })

  test("every route of the pull API is documented, and no other", () => {
    expect(Object.keys(api.paths).sort()).toEqual([
      "/v2/",
      "/v2/{name}/blobs/{digest}",
      "/v2/{name}/manifests/{reference}",
      "/v2/{name}/referrers/{digest}",
      "/v2/{name}/tags/list",
    ])
    for (const methods of Object.values(api.paths)) expect(Object.keys(methods).sort()).toEqual(["get", "head"])
  })

  test("/swagger needs no other host: all that it loads is here", async () => {
    const page = await server.raw("GET", "/swagger")
    const html = page.body.toString()
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? "")

    expect([page.status, page.header("content-type")]).toEqual([200, "text/html; charset=utf-8"])
    expect(html).not.toMatch(/https?:|"\/\//)
    expect(links.length).toBeGreaterThan(2)
    for (const link of links) {
      const { pathname } = new URL(link, "http://localhost/swagger")
      const answer = await server.raw("GET", pathname)
      expect([pathname, answer.status, answer.body.byteLength > 100]).toEqual([pathname, 200, true])
    }
    expect(html).toContain('url: "swagger/json"')
  })

  test("the style and the description ask no other host either", async () => {
    const style = (await server.raw("GET", "/swagger/style.css")).body.toString()

    expect(style).not.toMatch(/@import|url\(["']?(?:https?:)?\/\//)
    expect(JSON.stringify(api)).not.toMatch(/https?:\/\//)
  })

  test("/swagger/ leads to the page, where its links hold", async () => {
    const answer = await server.raw("GET", "/swagger/")
    const target = new URL(answer.header("location") ?? "", "http://localhost/swagger/").pathname

    expect([answer.status, target]).toEqual([308, "/swagger"])
  })

  test("neither the script nor the page is found under another name", async () => {
    for (const path of ["/swagger/index.html", "/swagger/other", "/swagger/../etc/passwd", "/swagger/%2e%2e/x"]) {
      expect([path, (await server.raw("GET", path)).status]).toEqual([path, 404])
    }
  })
})
