import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import type { Mode } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { rawConversation, rawRequest } from "../helpers/raw-http.ts"

const MIB = 1024 * 1024
const HEX = "0123456789abcdef".repeat(4)
const PATHS = [
  "/v2/fixed/a/blobs/uploads/",
  "/v2/fixed/a/blobs/uploads",
  `/v2/fixed/a/blobs/uploads/?digest=sha256:${HEX}`,
  `/v2/fixed/a/blobs/uploads/?mount=sha256:${HEX}&from=fixed/b`,
  "/v2/fixed/a/blobs/uploads/?digest-algorithm=sha512",
  "/v2/fixed/a/blobs/uploads/00000000-0000-0000-0000-000000000000",
  `/v2/fixed/a/blobs/sha256:${HEX}`,
  "/v2/fixed/a/blobs/sha256:bad",
  "/v2/fixed/a/manifests/latest",
  `/v2/fixed/a/manifests/sha256:${HEX}`,
  `/v2/fixed/a/manifests/sha256-${HEX}.sig`,
  "/v2/fixed/none/manifests/latest",
  "/v2/fixed/a/tags/list",
  `/v2/fixed/a/referrers/sha256:${HEX}`,
  "/v2/BAD//name/manifests/latest",
  "/v2/fixed/a/manifests/%zz",
  "/v2/",
  "/v2",
  "/v2/_catalog",
  "/",
  "/nothing",
  "/swagger",
  "/swagger/json",
  "/swagger/script.js",
]

describe.each(["source", "binary"] as Mode[])("writes to %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    server = await startPullServer({ mode, images: { a: await image() } })
  })
  afterAll(async () => await server.stop())

  const send = async (lines: readonly string[], body: readonly Uint8Array[] = []) =>
    await rawRequest(server.facade.host, lines, { body })

  test.each(["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])("[3] %s is 405 everywhere", async (method) => {
    for (const path of PATHS) {
      const answer = await server.raw(method, path, { "Content-Length": "0" })
      expect([path, answer.status, answer.header("allow")]).toEqual([path, 405, "GET, HEAD"])
      expect(answer.header("content-type")).toBe("application/json")
      expect(answer.header("docker-distribution-api-version")).toBe("registry/2.0")
      expect(errorsOf(answer)).toMatchObject([{ code: "UNSUPPORTED", message: expect.stringContaining(method) }])
    }
    expect(server.upstream.seen).toEqual([])
  })

  test.each(PATHS)("[1.4] OPTIONS %s tells what may be done", async (path) => {
    const answer = await server.raw("OPTIONS", path)

    expect([answer.status, answer.header("allow"), answer.body.byteLength]).toEqual([204, "GET, HEAD", 0])
  })

  test.each(["/v2/fixed/a/blobs/uploads/", "/v2/fixed/a/blobs/uploads", "/v2/fixed/a/blobs/uploads/some-id"])(
    "[3] GET %s is 404 BLOB_UPLOAD_UNKNOWN",
    async (path) => {
      const answer = await server.raw("GET", path)

      expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([404, "BLOB_UPLOAD_UNKNOWN"])
      expect((await server.raw("HEAD", path)).status).toBe(404)
    },
  )

  const PUT = ["PUT /v2/fixed/a/manifests/latest HTTP/1.1", "Host: localhost"]
  const pieces = (count: number) => Array.from({ length: count }, () => new Uint8Array(MIB).fill(120))

  test.each([1, 64 * 1024, 65 * 1024, MIB])("[3] a body of %p bytes is answered with 405 as well", async (size) => {
    const answer = await send([...PUT, `Content-Length: ${size}`], [new Uint8Array(size).fill(120)])

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([405, "UNSUPPORTED"])
  })

  test("[3] a body in chunks is answered with 405 as well", async () => {
    const chunk = Buffer.concat([Buffer.from("100000\r\n"), new Uint8Array(MIB), Buffer.from("\r\n")])
    const answer = await send([...PUT, "Transfer-Encoding: chunked"], [chunk, chunk, Buffer.from("0\r\n\r\n")])

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([405, "UNSUPPORTED"])
  })

  test("[3] a client that asks before it sends is told without having sent", async () => {
    const answer = await send([...PUT, `Content-Length: ${10 * MIB}`, "Expect: 100-continue"])

    expect(answer.status).toBe(405)
  })

  test("[3] a client that announces 10 GiB and sends nothing is answered at once", async () => {
    expect((await send([...PUT, `Content-Length: ${10 * 1024 * MIB}`])).status).toBe(405)
  })

  test("[3] what follows a body on the same connection is answered as its own request", async () => {
    const next = Buffer.from("GET /v2/fixed/a/tags/list?n=abc HTTP/1.1\r\nHost: localhost\r\n\r\n")
    const head = Buffer.from([...PUT, `Content-Length: ${MIB}`, "", ""].join("\r\n"))
    const received = await rawConversation(server.facade.host, [head, ...pieces(1), next], 2)

    expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 405", "HTTP/1.1 400"])
  })

  if (mode === "binary") {
    test("[3] 200 MiB that nobody wants leave memory as it was", async () => {
      const pid = server.facade.pid ?? 0
      const one = new Uint8Array(MIB)
      const before = peakBytes(pid)
      const next = Buffer.from("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
      const head = Buffer.from([...PUT, `Content-Length: ${200 * MIB}`, "", ""].join("\r\n"))
      const received = await rawConversation(server.facade.host, [head, ...Array(200).fill(one), next], 2)

      expect(received.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 405", "HTTP/1.1 200"])
      expect(peakBytes(pid) - before).toBeLessThan(50 * MIB)
    })
  }

  test("[3] a body on a request that reads is passed over", async () => {
    const get = ["GET /v2/fixed/a/manifests/latest HTTP/1.1", "Host: localhost"]

    expect((await send([...get, `Content-Length: ${MIB}`], pieces(1))).status).toBe(200)
  })
})

/** The most memory that the process has had. */
const peakBytes = (pid: number): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024
