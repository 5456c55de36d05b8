import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, type TestImage } from "../helpers/images.ts"
import { documentationTests, type OpenApi, operationsOf, readOpenApi } from "../helpers/openapi.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"

describe.each(["source", "binary"] as Mode[])("documentation from %s", (mode) => {
  let base: TestImage
  let server: PullServer
  let api: OpenApi

  beforeAll(async () => {
    base = await image()
    server = await startPullServer({ mode, images: { a: base } })
    api = await readOpenApi(get)
  })
  afterAll(async () => await server.stop())

  const get = async (path: string) => await server.raw("GET", path)

  documentationTests(() => api, get)

  test("the document tells what it is of", () => {
    expect(api.info.title).toBe("registry-facade")
  })

  test("every route that is documented answers, with a status that is documented", async () => {
    const manifest = (await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).header("docker-content-digest") ?? ""
    const values: Readonly<Record<string, string>> = {
      name: "fixed/a",
      reference: "latest",
      digest: base.layers[0]?.digest ?? manifest,
    }
    expect(operationsOf(api).length).toBeGreaterThan(8)
    for (const { path, method, operation } of operationsOf(api)) {
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
