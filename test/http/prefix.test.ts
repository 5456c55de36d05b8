import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { pageTags } from "../../src/http/registry/tags.ts"
import type { Mode } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"

describe.each(["source", "binary"] as Mode[])("a prefix from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    server = await startPullServer({ mode, images: { a: await image() }, registry: { prefix: "/some/prefix" } })
  })
  afterAll(async () => await server.stop())

  test.each([
    ["/some/prefix/v2/", 200],
    ["/some/prefix/v2", 200],
    ["/some/prefix/v2/fixed/a/manifests/latest", 200],
    ["/some/prefix/v2/fixed/a/tags/list", 200],
    ["/some/prefix/v2/fixed/none/tags/list", 404],
    ["/some/prefix/v2/fixed/a/tags/list?n=x", 400],
    ["/v2/", 404],
    ["/v2/fixed/a/manifests/latest", 404],
    ["/prefix/v2/", 404],
    ["/some/v2/", 404],
    ["/some/prefix", 404],
    ["/some/prefixv2/", 404],
    ["/some/prefix/../../v2/fixed/a/manifests/latest", 404],
  ])("[R1] GET %s is %p", async (path, status) => {
    expect((await server.raw("GET", path)).status).toBe(status)
  })

  test("[3] writes are 405 below it, too", async () => {
    const answer = await server.raw("PUT", "/some/prefix/v2/fixed/a/manifests/latest", { "Content-Length": "0" })

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([405, "UNSUPPORTED"])
  })

  test("the name in answers does not hold it", async () => {
    const answer = await server.raw("GET", "/some/prefix/v2/fixed/a/tags/list")

    expect(JSON.parse(answer.body.toString())).toMatchObject({ name: "fixed/a" })
  })

  test("the documentation's paths hold it", async () => {
    const answer = await server.raw("GET", "/swagger/json")
    const { paths } = JSON.parse(answer.body.toString()) as { paths: Record<string, unknown> }

    expect(Object.keys(paths)).toContain("/some/prefix/v2/{name}/manifests/{reference}")
    expect(Object.keys(paths).filter((path) => path.startsWith("/v2"))).toEqual([])
  })
})

describe.each(["", "/", "deep/er", "/x/"])("the configured prefix %p", (prefix) => {
  test("is a path, however its slashes are written", async () => {
    const server = await startPullServer({ mode: "source", images: { a: await image() }, registry: { prefix } })
    const clean = prefix.replace(/^\/|\/$/g, "")

    expect((await server.raw("GET", `${clean === "" ? "" : `/${clean}`}/v2/fixed/a/tags/list`)).status).toBe(200)
    await server.stop()
  })
})

describe("pageTags()", () => {
  const tags = ["b", "a", "latest", "Z", "c+d"]
  const path = "/some/prefix/v2/fixed/a/tags/list"

  test("[2.1] links to the next page with a relative URL that holds the prefix", () => {
    expect(pageTags({ path, tags }, { n: "2" })).toEqual({
      tags: ["Z", "a"],
      link: '</some/prefix/v2/fixed/a/tags/list?last=a&n=2>; rel="next"',
    })
  })

  test("[2.1] encodes the tag in the link", () => {
    expect(pageTags({ path, tags }, { n: "1", last: "b" }).link).toBe(`<${path}?last=c%2Bd&n=1>; rel="next"`)
  })

  test("[2.1] pages that follow the links are the sorted list, once each", () => {
    const seen: string[] = []
    let last: string | undefined
    for (let page = 0; page < 10; page += 1) {
      const { tags: some, link } = pageTags({ path, tags }, { n: "2", last })
      seen.push(...some)
      if (link === null) break
      last = new URLSearchParams(link.slice(1, link.indexOf(">")).split("?")[1]).get("last") ?? ""
    }

    expect(seen).toEqual(["Z", "a", "b", "c+d", "latest"])
  })

  test("[2.1] n=0 gives nothing and no link", () => {
    expect(pageTags({ path, tags }, { n: "0" })).toEqual({ tags: [], link: null })
  })

  test("[2.1] the last page has no link", () => {
    expect(pageTags({ path, tags }, { n: "5" }).link).toBeNull()
    expect(pageTags({ path, tags }, { last: "c+d" })).toEqual({ tags: ["latest"], link: null })
  })

  test("[2.1] a page is never larger than 1000, whatever n says", () => {
    const many = Array.from({ length: 1500 }, (_, index) => `t${String(index).padStart(4, "0")}`)
    for (const n of ["1000000000", undefined]) {
      const page = pageTags({ path, tags: many }, { n })
      expect([page.tags.length, page.link]).toEqual([1000, `<${path}?last=t0999&n=1000>; rel="next"`])
    }
  })
})
