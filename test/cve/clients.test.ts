import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { askHelper } from "../../src/credentials/credential-helper.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { parseReference } from "../../src/oci/reference.ts"
import { parseSpec } from "../../src/spec/parse.ts"
import { installHelper } from "../helpers/credential-helper.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, opaqueLayer, sha256, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { requireLogin } from "../helpers/login-server.ts"
import { rawConversation, rawRequest } from "../helpers/raw-http.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"
import { upstreamLogin } from "../helpers/users.ts"

// Advisories against HTTP clients and servers, runtimes and frameworks, each as what must not be possible here

let upstream: UpstreamServer
let elsewhere: UpstreamServer
let app: TestImage
let facade: RunningFacade
const PASSWORD = "s3cret-password"
const BASIC = `Basic ${Buffer.from(`me:${PASSWORD}`).toString("base64")}`

beforeEach(async () => {
  upstream = startUpstream()
  elsewhere = startUpstream()
  app = await image({ layers: [opaqueLayer(40_000, 81)] })
  upstream.add("lab/app", "1", app)
  facade = await startFacade({
    specs: { app: { baseRef: `${upstream.host}/lab/app:1` } },
    tuning: IMPATIENT,
    registry: { upstreams: { [upstream.host]: upstreamLogin("me", PASSWORD) } },
  })
})
afterEach(async () => {
  await facade.stop()
  upstream.stop()
  elsewhere.stop()
})
const raw = async (...lines: string[]) => await rawRequest(facade.host, [...lines])
const get = async (path: string, ...headers: string[]) =>
  await raw(`GET ${path} HTTP/1.1`, `Host: ${facade.host}`, ...headers)
const layerPath = () => `/v2/fixed/app/blobs/${app.layers[0]?.digest}`
const sentElsewhere = () => JSON.stringify(elsewhere.seen.map(({ headers }) => [...headers]))

describe("what goes along with a redirect", () => {
  const redirectBlobs = (location: string) => {
    requireLogin(upstream, 'Basic realm="x"', (authorization) => authorization === BASIC)
    elsewhere.addBlob(app.layers[0] ?? app.config)
    upstream.roles.unshift((_, { pathname }) =>
      pathname.endsWith(app.layers[0]?.digest ?? "") ? Response.redirect(location, 307) : null,
    )
  }
  const blobElsewhere = (host: string) => `http://${host}/v2/lab/app/blobs/${app.layers[0]?.digest}`

  test.each([
    ["GHSA-j5f8-grm9-p9fc (axios), CVE-2024-28849 (follow-redirects): authorization to another host", "localhost"],
    ["CVE-2025-4673 (Go), CVE-2024-37891 (urllib3): authorization to another port", "127.0.0.1"],
  ])("%s", async (_, name) => {
    redirectBlobs(blobElsewhere(`${name}:${elsewhere.url.port}`))
    const answer = await get(layerPath())

    expect([answer.status, sha256(new Uint8Array(answer.body))]).toEqual([200, app.layers[0]?.digest ?? ""])
    expect(elsewhere.seen.length).toBeGreaterThan(0)
    for (const { headers } of elsewhere.seen) {
      expect(headers.get("authorization")).toBeNull()
      expect(headers.get("proxy-authorization")).toBeNull()
      expect(headers.get("cookie")).toBeNull()
    }
  })

  test("CVE-2022-0235 (node-fetch), CVE-2022-0155 (follow-redirects): cookies that a registry sets go nowhere", async () => {
    upstream.roles.unshift((request, { pathname }) => {
      if (!pathname.endsWith(app.layers[0]?.digest ?? "")) return null
      if (request.headers.has("x-never")) return null
      return new Response(null, {
        status: 307,
        headers: { location: blobElsewhere(elsewhere.host), "set-cookie": `session=${PASSWORD}; Path=/` },
      })
    })
    elsewhere.addBlob(app.layers[0] ?? app.config)
    await get(layerPath())

    expect(elsewhere.seen.length).toBeGreaterThan(0)
    expect(sentElsewhere()).not.toContain(PASSWORD)
  })

  test("undici#4917: nor do headers with names of their own", async () => {
    redirectBlobs(blobElsewhere(elsewhere.host))
    await get(layerPath())
    const known = ["accept", "accept-encoding", "cache-control", "connection", "host", "range", "user-agent"]

    expect(
      elsewhere.seen.flatMap(({ headers }) => [...headers.keys()]).filter((name) => !known.includes(name)),
    ).toEqual([])
  })

  test("GHSA-3787-6prv-h9w3, CVE-2024-30260 (undici): nothing that a client sends us goes on to an upstream", async () => {
    await get(
      layerPath(),
      `Authorization: Basic ${Buffer.from("client:s3cret").toString("base64")}`,
      "Proxy-Authorization: Basic s3cret",
      "Cookie: a=s3cret",
      "X-Forwarded-For: s3cret",
    )

    expect(upstream.seen.length).toBeGreaterThan(0)
    expect(JSON.stringify(upstream.seen.map(({ headers }) => [...headers]))).not.toMatch(/s3cret|czNjcmV0|Y2xpZW50/)
  })

  test("CVE-2020-15157 (containerd): a storage that asks for a login gets none", async () => {
    redirectBlobs(`${elsewhere.url.href}signed`)
    elsewhere.roles.push(() => new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }))

    expect((await get(layerPath())).status).toBe(503)
    expect(elsewhere.seen.length).toBeGreaterThan(0)
    expect(elsewhere.seen.every(({ headers }) => !headers.has("authorization"))).toBe(true)
  })
})

describe("where requests go", () => {
  test.each([
    "//evil.test/a",
    "http://evil.test/a",
    "x.io//evil.test/a",
    "x.io/a@evil.test/b",
    "x.io/../../etc",
    "x.io\\evil/a",
    "x.io/a?b=c",
    "x.io/a#b",
    "x.io/%2e%2e/a",
  ])("CVE-2025-27152 (axios): the reference %s is refused, and leads nowhere else", (text) => {
    expect(() => parseReference(text)).toThrow(TypeError)
  })

  test.each(["//evil.test", "//evil.test/%2e%2e", "/\\evil.test", "/v2//evil.test/..", "/v2", "/v2/../..//evil.test"])(
    "CVE-2024-43799 (send), CVE-2024-43800 (serve-static), CVE-2024-29041 (express): %s redirects nobody away",
    async (path) => {
      const { header } = await get(path)

      expect(header("location") ?? "").not.toMatch(/^(?:[a-z]+:|[\\/]{2})/i)
    },
  )

  test("CVE-2021-41092 (docker): a helper that cannot be run gives no credential to anyone", async () => {
    await expect(
      askHelper("missing", "x.io", { clock: systemClock, helperMs: 1000, env: { PATH: tempDir() } }),
    ).rejects.toThrow("it is not on the PATH")
  })

  test("CVE-2022-31030 (containerd): what a program prints without end is not kept", async () => {
    const { dir } = installHelper("endless", "exec yes s3cret")
    const before = process.memoryUsage.rss()
    const options = { clock: systemClock, helperMs: 5000, env: { PATH: `${dir}:${process.env["PATH"]}` } }

    await expect(askHelper("endless", "x.io", options)).rejects.toThrow("Cannot use docker-credential-endless")
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024)
  })
})

describe("what is served", () => {
  test.each([
    ["bytes=0-18446744073709551615", 206],
    ["bytes=18446744073709551610-18446744073709551615", 416],
    ["bytes=-18446744073709551615", 206],
    ["bytes=9223372036854775807-", 416],
    ["bytes=-9223372036854775808,-1", 200],
  ])("CVE-2017-7529 (nginx): %s gives no byte that is not the blob's", async (range, expected) => {
    const [layer] = app.layers
    const answer = await get(layerPath(), `Range: ${range}`)

    expect(answer.status).toBe(expected)
    expect(answer.body.byteLength).toBeLessThanOrEqual(layer?.size ?? 0)
    if (expected !== 416) expect(Buffer.compare(answer.body, Buffer.from(layer?.bytes ?? []))).toBe(0)
  })

  test("bun#34922, #36068: a body that is cut off is never complete, however it ends", async () => {
    const [layer] = app.layers
    if (layer === undefined) throw new Error("There is a layer")
    upstream.roles.push((_, { pathname }) =>
      pathname.endsWith(layer.digest) ? new Response(layer.bytes.slice(0, 1000)) : null,
    )
    const answer = await get(layerPath())

    expect(answer.status).not.toBe(200)
    upstream.roles.pop()
    // The failure is remembered for a moment
    await until(async () => sha256(new Uint8Array((await get(layerPath())).body)) === layer.digest)
  })

  test("bun#34185: what follows a broken answer on a connection is no part of another one", async () => {
    upstream.roles.push((request, { pathname }) =>
      pathname.includes("/blobs/") && !pathname.endsWith(app.config.digest)
        ? new Response("x".repeat(app.layers[0]?.size ?? 0))
        : pathname.endsWith(app.config.digest)
          ? contentResponse(request, app.config)
          : null,
    )
    expect((await get(layerPath())).isComplete && (await get(layerPath())).status === 200).toBe(false)
    expect((await get("/v2/")).body.toString()).toBe("{}")
  })

  test.each([
    [
      "both lengths",
      ["Content-Length: 4", "Transfer-Encoding: chunked"],
      "0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ["two lengths", ["Content-Length: 4", "Content-Length: 30"], "abcdGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an encoding that is none", ["Transfer-Encoding: xchunked"], "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"],
  ])(
    "CVE-2021-36740, CVE-2022-45060 (Varnish), CVE-2021-27577 (ATS): %s hide no second request",
    async (_, headers, body) => {
      const head = [`GET /v2/fixed/none/manifests/1 HTTP/1.1`, `Host: ${facade.host}`, ...headers, "", ""].join("\r\n")
      const received = await rawConversation(facade.host, [Buffer.from(head + body)], 2)

      expect(received).toStartWith("HTTP/1.1 400")
      expect(received.match(/HTTP\/1\.1 /g)).toHaveLength(1)
    },
  )

  test("CVE-2023-44487, CVE-2025-8671 (HTTP/2): nothing speaks HTTP/2", async () => {
    const received = await rawConversation(facade.host, [Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")], 1)

    expect(received).not.toContain("HTTP/1.1 200")
    expect(received.startsWith("HTTP/1.1 4") || received === "").toBe(true)
  })

  test("CVE-2025-66456, CVE-2025-66457 (Elysia): no document pollutes what all objects share", async () => {
    const evil = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')
    const outcome = (() => {
      try {
        return parseSpec({ baseRef: "scratch", annotations: evil, config: { labels: evil, env: { set: evil } } }, null)
      } catch (error) {
        return error
      }
    })()
    upstream.roles.push((_, { pathname }) =>
      pathname.includes("/manifests/")
        ? new Response('{"__proto__":{"polluted":true},"schemaVersion":2,"config":{"__proto__":{"polluted":true}}}')
        : null,
    )
    await get("/v2/fixed/app/manifests/latest", "Cookie: __proto__=1; constructor=2")

    expect(outcome).toBeDefined()
    expect(Reflect.get({}, "polluted")).toBeUndefined()
  })

  test("CVE-2022-23471, CVE-2025-64329, CVE-2026-53495 (containerd): clients that leave take what they began with them", async () => {
    const [layer] = app.layers
    let cancelled = 0
    upstream.roles.push((_, { pathname }) => {
      if (!pathname.endsWith(layer?.digest ?? "")) return null
      const slow = new ReadableStream({
        start: (controller) => controller.enqueue(layer?.bytes.slice(0, 1000)),
        cancel: () => {
          cancelled += 1
        },
      })
      return new Response(slow)
    })
    const downloads = { ...IMPATIENT.downloads, finishBytes: 0, lingerMs: 10 }
    const hasty = await startFacade({
      specs: { app: { baseRef: `${upstream.host}/lab/app:1` } },
      tuning: { ...IMPATIENT, downloads },
    })
    const leave = new AbortController()
    const asked = () => upstream.seen.filter(({ path }) => path.endsWith(layer?.digest ?? "")).length
    const asking = Array.from({ length: 20 }, () => hasty.get(layerPath(), { signal: leave.signal }).catch(() => null))
    await until(() => asked() > 0)
    leave.abort()
    await Promise.all(asking)
    await until(() => cancelled > 0)

    expect([cancelled, asked()]).toEqual([1, 1])
    await hasty.stop()
  })
})

test("CVE-2024-21548, CVE-2025-8022 (Bun): nothing runs a shell", () => {
  const src = join(import.meta.dir, "../../src")
  const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
  const shells = files.filter((file) =>
    /Bun\.\$|\bimport \{[^}]*\$[^}]*\} from "bun"|child_process|\["(?:ba)?sh"/.test(
      readFileSync(join(src, file), "utf8"),
    ),
  )

  expect(files.length).toBeGreaterThan(100)
  expect(shells).toEqual([])
})
