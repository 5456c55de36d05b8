import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { rawRequest } from "../helpers/raw-http.ts"

const MANIFEST = "/v2/fixed/a/manifests/latest"

describe.each(["source", "binary"] as Mode[])("hosts and targets from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    server = await startPullServer({ mode, images: { a: await image() } })
  })
  afterAll(async () => await server.stop())

  const send = async (...lines: string[]) => await rawRequest(server.facade.host, lines)

  test.each([
    "x",
    "rf",
    "reg",
    "reg:5000",
    "localhost",
    "127.0.0.1:31750",
    "[::1]:31750",
    "registry.example.test",
    "UPPER.example.test",
    `${"a".repeat(60)}.${"b".repeat(60)}.test`,
    "x:99999",
    "1",
    "a.",
    "xn--bcher-kva.example",
  ])("Host %p does not change which route is meant", async (host) => {
    for (const [path, status] of [
      ["/v2/", 200],
      [MANIFEST, 200],
      ["/v2/fixed/a/tags/list", 200],
      ["/swagger/json", 200],
      ["/fixed/a/tags/list", 404],
      ["/a", 404],
    ] as const) {
      expect([path, (await send(`GET ${path} HTTP/1.1`, `Host: ${host}`)).status]).toEqual([path, status])
    }
  })

  test.each(["a b", "x@y", "a/b", '"', "a\\b", "<x>", "a?b", "a#b"])(
    "Host %p is no host: 400 on every path",
    async (host) => {
      for (const path of ["/v2/", MANIFEST, "/swagger/json", "/nope"]) {
        const answer = await send(`GET ${path} HTTP/1.1`, `Host: ${host}`)
        expect([path, answer.status]).toEqual([path, 400])
        expect(errorsOf(answer)[0]).toMatchObject({ code: "UNSUPPORTED", message: expect.stringContaining("Host") })
      }
    },
  )

  test.each([
    ["an empty Host", ["HTTP/1.1", "Host:"]],
    ["HTTP/1.0 without Host", ["HTTP/1.0"]],
    ["HTTP/1.0 with Host", ["HTTP/1.0", "Host: reg"]],
  ])("%s is served as any other", async (_, [version, ...headers]) => {
    for (const [path, status] of [
      ["/v2/", 200],
      [MANIFEST, 200],
      ["/swagger/json", 200],
      ["/v2/fixed/zzz/tags/list", 404],
      ["/v2/fixed/a/tags/list?n=abc", 400],
    ] as const) {
      expect([path, (await send(`GET ${path} ${version}`, ...headers)).status]).toEqual([path, status])
    }
    expect((await send(`PUT ${MANIFEST} ${version}`, ...headers, "Content-Length: 0")).status).toBe(405)
  })

  test.each([
    ["no Host in HTTP/1.1", ["GET /v2/ HTTP/1.1"]],
    ["two lengths", ["GET /v2/ HTTP/1.1", "Host: x", "Content-Length: 1", "Content-Length: 2"]],
    ["a target that is no path", ["GET v2/ HTTP/1.1", "Host: x"]],
    ["length and chunks", ["POST /v2/ HTTP/1.1", "Host: x", "Content-Length: 1", "Transfer-Encoding: chunked"]],
  ])("%s is 400, and nothing of it is served", async (_, lines) => {
    expect((await send(...lines)).status).toBe(400)
  })

  test.each([`http://evil.example${MANIFEST}`, `http://x${MANIFEST}?ns=y`])(
    "the target %s in absolute form is served by its path",
    async (target) => {
      expect((await send(`GET ${target} HTTP/1.1`, "Host: localhost")).status).toBe(200)
    },
  )

  test.each([
    ["/v2/fixed/./a/manifests/latest", 200],
    ["/v2/fixed/x/../a/manifests/latest", 200],
    ["/v2/fixed/a/manifests/../manifests/latest", 200],
    ["/v2/%2e%2e/%2E%2E/etc/passwd", 404],
    ["/v2/../../etc/passwd", 404],
    ["/v2/fixed/../../../v3/", 404],
    ["/..\\..\\etc\\passwd", 404],
    ["/v2\\fixed\\zzz\\manifests\\latest", 404],
    ["/v2/fixed/a/manifests/latest#fragment", 404],
    ["/v2/fixed/a/blobs/..%2f..%2fconfig.json", 400],
    ["/v2/fixed/a/blobs/....//config.json", 404],
  ])("[R9] the target %s has no meaning of its own: %p", async (target, status) => {
    const answer = await send(`GET ${target} HTTP/1.1`, "Host: localhost")

    expect(answer.status).toBe(status)
    expect(answer.body.toString()).not.toContain("root:")
  })

  test.each([1000, 8000, 15_000])("a path of %p characters is refused as a name", async (length) => {
    const answer = await send(`GET /v2/${"a".repeat(length)}/manifests/latest HTTP/1.1`, "Host: x")

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([400, "NAME_INVALID"])
    expect(answer.body.byteLength).toBeLessThan(1000)
  })

  test.each([70_000, 1_000_000])("a path of %p characters ends the connection, not the server", async (length) => {
    const refused = await send(`GET /v2/${"a".repeat(length)}/manifests/latest HTTP/1.1`, "Host: x").catch(() => null)

    expect(refused?.status ?? 431).toBe(431)
    expect((await send("GET /v2/ HTTP/1.1", "Host: x")).status).toBe(200)
  })

  test("a method that is no word ends the connection, not the server", async () => {
    for (const line of ["FOO /v2/ HTTP/1.1", "get /v2/ HTTP/1.1", "\x16\x03\x01\x02", "GET /v2/ HTTP/9.9"]) {
      const answer = await send(line, "Host: x").catch(() => null)
      expect([line, answer?.status ?? 400]).not.toEqual([line, 200])
    }
    expect((await send("GET /v2/ HTTP/1.1", "Host: x")).status).toBe(200)
  })
})
