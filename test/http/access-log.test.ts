import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { until } from "../helpers/until.ts"
import { contentResponse } from "../helpers/upstream-server.ts"

const MIB = 1024 * 1024

describe.each(["source", "binary"] as Mode[])("the access log from %s", (mode) => {
  const small = opaqueLayer(2048)
  const warm = opaqueLayer(1 * MIB)
  const cold = [1, 2, 3, 4].map((seed) => opaqueLayer(9 * MIB, seed))
  const wrong = opaqueLayer(9 * MIB, 5)
  const stalled = opaqueLayer(40 * MIB, 6)
  let server: PullServer

  beforeAll(async () => {
    const layers = [small, warm, ...cold, wrong, stalled]
    server = await startPullServer({ mode, images: { a: await image({ layers }) } })
    await server.warm("a", warm)
  })
  afterAll(async () => await server.stop())

  /** The lines of one path; a mark in it keeps them apart from those of other tests. */
  const lines = (path: string) =>
    server.facade.logs.filter((line) => line["message"] === "request" && line["path"] === path)

  async function lineOf(path: string): Promise<Readonly<Record<string, unknown>>> {
    await until(() => lines(path).length > 0)
    const [line] = lines(path)
    expect(lines(path).length).toBe(1)
    return line ?? {}
  }

  test.each([
    ["GET", "/v2/", "/v2/", 200],
    ["GET", "/v2/fixed/a/manifests/t1?ns=canary-query", "/v2/fixed/a/manifests/t1", 200],
    ["HEAD", "/v2/fixed/a/manifests/t2", "/v2/fixed/a/manifests/t2", 200],
    ["GET", "/v2/fixed/none/manifests/t3", "/v2/fixed/none/manifests/t3", 404],
    ["HEAD", "/v2/fixed/none/manifests/t4", "/v2/fixed/none/manifests/t4", 404],
    ["PUT", "/v2/fixed/a/manifests/t5", "/v2/fixed/a/manifests/t5", 405],
    ["OPTIONS", "/v2/fixed/a/manifests/t6", "/v2/fixed/a/manifests/t6", 204],
    ["GET", "/v2/fixed/a/manifests/sha256:bad", "/v2/fixed/a/manifests/sha256:bad", 400],
    ["GET", "/swagger/style.css", "/swagger/style.css", 200],
  ])("%s %s has one line, with the bytes of its body", async (method, target, path, status) => {
    const answer = await server.raw(method, target)
    const line = await lineOf(path)

    expect(line).toMatchObject({ level: "info", method, path, status, bytes: answer.body.byteLength })
    expect(line["ms"]).toBeNumber()
    expect(Number(line["ms"])).toBeWithin(0, 10_000)
    expect(JSON.stringify(line)).not.toContain("canary-query")
  })

  test("a 304 is a line with no bytes", async () => {
    const path = `/v2/fixed/a/blobs/${small.digest}`
    await server.raw("GET", path, { "If-None-Match": "*" })

    expect(await lineOf(path)).toMatchObject({ status: 304, bytes: 0 })
  })

  test("a wrong Host is a line, too", async () => {
    await server.raw("GET", "/v2/wrong-host", { Host: "a b" })

    expect(await lineOf("/v2/wrong-host")).toMatchObject({ method: "GET", status: 400 })
  })

  test("a blob that was streamed is a line with all its bytes, at its end", async () => {
    const [blob = small] = cold
    const path = `/v2/fixed/a/blobs/${blob.digest}`
    const answer = await server.raw("GET", path)

    expect(answer.header("content-length")).toBeNull()
    expect(await lineOf(path)).toMatchObject({ method: "GET", status: 200, bytes: blob.size })
  })

  test("a part that was streamed is a line with the part's bytes", async () => {
    const [, blob = small] = cold
    const path = `/v2/fixed/a/blobs/${blob.digest}`
    await server.raw("GET", path, { Range: "bytes=1000-2000999" })

    expect(await lineOf(path)).toMatchObject({ status: 206, bytes: 2_000_000 })
  })

  test("HEAD of a cold blob is a line with no bytes", async () => {
    const [, , blob = small] = cold
    const path = `/v2/fixed/a/blobs/${blob.digest}`
    await server.raw("HEAD", path)

    expect(await lineOf(path)).toMatchObject({ method: "HEAD", status: 200, bytes: 0 })
  })

  test("a blob that turned out wrong is a line that says so, with what was sent", async () => {
    server.upstream.roles.push((request, { pathname }) => {
      if (!pathname.endsWith(wrong.digest)) return null
      return contentResponse(request, { ...wrong, bytes: new Uint8Array(wrong.size) })
    })
    const path = `/v2/fixed/a/blobs/${wrong.digest}`
    const answer = await server.raw("GET", path)
    const line = await lineOf(path)

    expect(line).toMatchObject({ status: 200, end: "broken off", error: expect.stringContaining(wrong.digest) })
    expect(Number(line["bytes"])).toBeLessThan(wrong.size)
    expect(Number(line["bytes"])).toBeGreaterThanOrEqual(answer.body.byteLength)
  })

  test("a client that leaves is a line that says so, with less than everything", async () => {
    const gate = Promise.withResolvers<void>()
    server.upstream.roles.push((_, { pathname }) => (pathname.endsWith(stalled.digest) ? halfway(gate.promise) : null))
    const path = `/v2/fixed/a/blobs/${stalled.digest}`
    const response = await server.facade.get(path)
    const reader = response.body?.getReader()
    await reader?.read()
    await reader?.cancel()
    const line = await lineOf(path)
    gate.resolve()

    expect(line).toMatchObject({ status: 200, end: "client left" })
    expect(Number(line["bytes"])).toBeWithin(1, stalled.size)
  })

  /** The first MiB at once, the rest when the gate opens. */
  function halfway(gate: Promise<void>): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(stalled.bytes.subarray(0, MIB)),
      pull: async (controller) => {
        await gate
        controller.enqueue(stalled.bytes.subarray(MIB))
        controller.close()
      },
    })
    return new Response(body, { headers: { "content-type": stalled.mediaType } })
  }

  test("names with line breaks and terminal codes stay on one line", async () => {
    await server.raw("GET", "/v2/mark%0A%1B[31m/tags/list")
    const line = await lineOf("/v2/mark%0A%1B[31m/tags/list")

    expect(line["status"]).toBe(400)
  })

  test("every line has what an operator looks for", async () => {
    const requests = server.facade.logs.filter((line) => line["message"] === "request")

    expect(requests.length).toBeGreaterThan(10)
    for (const line of requests) {
      expect(Object.keys(line)).toEqual(expect.arrayContaining(["time", "method", "path", "status", "bytes", "ms"]))
    }
  })
})
