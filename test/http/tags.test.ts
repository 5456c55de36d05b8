import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"

describe.each(["source", "binary"] as Mode[])("tags from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    server = await startPullServer({
      mode,
      images: { a: await image() },
      specs: (host) => ({ gone: { baseRef: `${host}/lab/none:1` } }),
    })
  })
  afterAll(async () => await server.stop())

  const list = async (query: string, name = "a") => await server.raw("GET", `/v2/fixed/${name}/tags/list${query}`)

  test("[2.1] the list names the repository and its tags", async () => {
    const answer = await list("")

    expect([answer.status, answer.header("content-type")]).toEqual([200, "application/json"])
    expect(JSON.parse(answer.body.toString())).toEqual({ name: "fixed/a", tags: ["latest"] })
    expect(answer.header("content-length")).toBe(String(answer.body.byteLength))
    expect(answer.header("link")).toBeNull()
  })

  test("[2.1] HEAD has the headers of GET", async () => {
    const [get, head] = [await list(""), await server.raw("HEAD", "/v2/fixed/a/tags/list")]

    expect([head.status, head.body.byteLength]).toEqual([200, 0])
    expect(head.header("content-length")).toBe(get.header("content-length"))
  })

  test.each([
    ["?n=1", ["latest"]],
    ["?n=2", ["latest"]],
    ["?n=1000000000", ["latest"]],
    ["?n=0", []],
    ["?n=00", []],
    ["?n=0&last=a", []],
    ["?last=latest", []],
    ["?last=lates", ["latest"]],
    ["?last=a", ["latest"]],
    ["?last=zzz", []],
    ["?last=Z", ["latest"]],
    ["?last=", ["latest"]],
    ["?last=%E0%A4%A", ["latest"]],
    ["?n=1&last=latest", []],
    ["?n=10&last=no-such-tag", []],
    ["?unknown=1", ["latest"]],
  ])("[2.1] %s gives %p and no further page", async (query, tags) => {
    const answer = await list(query)

    expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([200, { name: "fixed/a", tags }])
    expect(answer.header("link")).toBeNull()
  })

  test.each(["-1", "abc", "1.5", "0x10", "1e3", "", "+1", "%201", "1,2", "9".repeat(400), "NaN"])(
    "[2.1] n=%s is no count: 400 UNSUPPORTED",
    async (n) => {
      const answer = await list(`?n=${n}`)

      expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([400, "UNSUPPORTED"])
    },
  )

  test("[2.1] an unknown name is 404 NAME_UNKNOWN", async () => {
    const answer = await list("", "none")

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([404, "NAME_UNKNOWN"])
    expect(errorsOf(answer)[0]?.message).toContain("fixed/none")
  })

  test("[2.1] the tags of a configured name need no upstream", async () => {
    expect((await list("", "gone")).status).toBe(200)
    expect(server.asked("lab/none")).toBe(0)
  })
})
