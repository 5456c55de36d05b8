import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Dialer } from "../../src/egress/dialer.ts"
import { probeTcp } from "../../src/egress/tcp-probe.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { head } from "../chaos/raw-http.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { type FaultyFacade, startFaultyFacade } from "../helpers/faulty-facade.ts"
import type { Answer } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, type TestImage } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { makeCertificate } from "../helpers/self-signed.ts"
import { until } from "../helpers/until.ts"
import { contentResponse } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const never = new AbortController().signal

describe("a name with addresses that do not work", () => {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
  const url = new URL(`http://several.test:${server.port}/`)
  afterAll(() => server.stop(true))

  const dialer = (probe: typeof probeTcp, clock = systemClock) =>
    new Dialer({ clock, connectMs: 5000, lookup: async () => [], probe })

  test("A12: one that refuses connections is passed over", async () => {
    expect(await dialer(probeTcp).dial(url, ["127.0.0.2", "127.0.0.1"], never)).toBe("127.0.0.1")
  })

  test("A12: one that swallows connections does not hold up the others for longer than 250 ms", async () => {
    const clock = createFakeClock()
    const probe = async (address: string, port: number, signal: AbortSignal) =>
      address === "2001:db8::1" ? await swallowed(signal) : await probeTcp(address, port, signal)
    const dialling = dialer(probe, clock).dial(url, ["2001:db8::1", "127.0.0.1"], never)
    await until(() => clock.sleeping.includes(250))
    clock.advance(250)

    expect(await dialling).toBe("127.0.0.1")
  })

  test("A12: the one that worked is used from then on, and forgotten when it no longer does", async () => {
    const probed: string[] = []
    const probe = async (address: string, port: number, signal: AbortSignal) => {
      probed.push(address)
      await probeTcp(address, port, signal)
    }
    const one = dialer(probe)
    const dial = async () => await one.dial(url, ["127.0.0.1"], never)
    await dial()
    await dial()
    expect(probed).toEqual(["127.0.0.1"])
    one.forget(url)
    await dial()

    expect(probed).toEqual(["127.0.0.1", "127.0.0.1"])
  })

  test("A12: where none works, the client is told of the host and why", async () => {
    const dialling = dialer(probeTcp).dial(url, ["127.0.0.2", "127.0.0.3"], never)

    await expect(dialling).rejects.toThrow(`several.test:${server.port} cannot be reached: ECONNREFUSED`)
  })
})

describe("a name that DNS does not know", () => {
  let server: PullServer

  beforeAll(async () => {
    server = await startPullServer({
      mode: "binary",
      images: { good: await image() },
      specs: () => ({ nowhere: { baseRef: "registry.invalid/lab/a:1" } }),
    })
  })
  afterAll(async () => await server.stop())

  test("A12: is 503 with the name in it, and disturbs no other image", async () => {
    const answer = await server.raw("GET", "/v2/fixed/nowhere/manifests/latest")

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([503, "UNAVAILABLE"])
    expect(errorsOf(answer)[0]?.message).toContain("registry.invalid cannot be reached")
    expect(answer.header("retry-after")).not.toBeNull()
    expect((await server.raw("GET", "/v2/fixed/good/manifests/latest")).status).toBe(200)
  })
})

const openssl = needs("openssl")

describe.skipIf(openssl.isMissing)(`an upstream with TLS${openssl.note}`, () => {
  let base: TestImage
  const servers: { readonly port: number; readonly ca: string; stop(): void }[] = []
  let server: PullServer

  const start = async (name: string, isExpired = false) => {
    const { cert, key } = await makeCertificate(name, { isExpired })
    const contents = [base.manifest, ...base.blobs]
    const tls = { key: Bun.file(key), cert: Bun.file(cert) }
    const fetch = (request: Request) => {
      const { pathname } = new URL(request.url)
      const found = contents.find(({ digest }) => pathname.endsWith(digest))
      return contentResponse(request, found ?? base.manifest)
    }
    const listener = Bun.serve({ hostname: "127.0.0.1", port: 0, tls, fetch })
    const started = { port: listener.port ?? 0, ca: cert, stop: () => void listener.stop(true) }
    servers.push(started)
    return started
  }

  beforeAll(async () => {
    base = await image()
    const named = await start("IP:127.0.0.1")
    const other = await start("DNS:other.test")
    const expired = await start("IP:127.0.0.1", true)
    const [ours, unknown] = [await start("IP:127.0.0.1"), await start("IP:127.0.0.1")]
    const hosts = { named, other, expired, unknown, insecure: ours }
    const at = ({ port }: { readonly port: number }) => `127.0.0.1:${port}`
    server = await startPullServer({
      mode: "binary",
      specs: () =>
        Object.fromEntries(Object.entries(hosts).map(([name, host]) => [name, { baseRef: `${at(host)}/lab/a:1` }])),
      upstreams: () => ({
        ...Object.fromEntries([named, other, expired].map((host) => [at(host), { plainHTTP: false, ca: host.ca }])),
        [at(unknown)]: { plainHTTP: false },
        [at(ours)]: { plainHTTP: false, insecureSkipVerify: true },
      }),
    })
  })
  afterAll(async () => {
    await server.stop()
    for (const one of servers) one.stop()
  })

  test("A13: is used where its certificate is signed by the configured authority", async () => {
    const [blob] = base.layers

    expect((await server.raw("GET", "/v2/fixed/named/manifests/latest")).status).toBe(200)
    expect(
      (await server.raw("GET", `/v2/fixed/named/blobs/${blob?.digest}`)).body.equals(blob?.bytes ?? Buffer.alloc(0)),
    ).toBe(true)
    expect((await server.raw("GET", "/v2/fixed/insecure/manifests/latest")).status).toBe(200)
  })

  test.each(["other", "expired", "unknown"])(
    "A13: with a certificate that is for another name, over or unknown is refused: %s",
    async (name) => {
      const answer = await server.raw("GET", `/v2/fixed/${name}/manifests/latest`)
      const [error] = errorsOf(answer)

      expect([answer.status, error?.code, error?.detail]).toEqual([503, "UNAVAILABLE", "upstream_tls"])
      expect(error?.message).toMatch(/127\.0\.0\.1:\d+ cannot be reached: \w+; does "upstreams" need a "ca"/)
    },
  )
})

describe("an upstream that does not speak HTTP", () => {
  const HUGE = 5 * 1024 * 1024
  const raw =
    (text: string): Answer =>
    async (_, connection) => {
      await connection.send(text)
      connection.end()
      return false
    }
  const interim: Answer = async (_, connection, { bytes }) => {
    for (let count = 0; count < 10_000; count += 1) await connection.send("HTTP/1.1 102 Processing\r\n\r\n")
    await connection.send(head(200, { "content-length": bytes.byteLength }))
    await connection.send(bytes)
    return true
  }
  const rows: readonly (readonly [string, Answer])[] = [
    ["garbage", raw("\u0000\u0001\u0002 this is no HTTP\r\n\r\n")],
    ["a header of 5 MB", raw(`HTTP/1.1 200 OK\r\nx-big: ${"x".repeat(HUGE)}\r\n\r\n`)],
    ["a line without an end", raw("x".repeat(HUGE))],
    ["HTTP/0.9", raw("just the content, as in 1991")],
    ["two lengths", raw("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx")],
    ["nothing at all", raw("")],
  ]
  const blobs = [...rows, ...rows, 0].map((_, index) => opaqueLayer(3000, index))
  const last = blobs.at(-1) as (typeof blobs)[0]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({ images: { a: await image({ layers: blobs }) } })
  })
  afterAll(async () => await server.stop())

  test.each(rows)("A14: %s is asked again on another connection", async (name, answer) => {
    const blob = blobs[rows.findIndex(([other]) => other === name)] as (typeof blobs)[0]
    server.upstream.plan(blob.digest, answer)
    const { status, body } = await server.pull(blob)

    expect([status, body?.equals(blob.bytes)]).toEqual([200, true])
    expect(server.upstream.asked(blob.digest).length).toBe(2)
  })

  test("A14: thousands of interim answers change nothing, or are asked again", async () => {
    server.upstream.plan(last.digest, interim)
    const { status, body } = await server.pull(last)

    expect([status, body?.equals(last.bytes)]).toEqual([200, true])
  })

  test("A14: and where it goes on, the client is told to come back, and the facade is well", async () => {
    const blob = blobs[rows.length] as (typeof blobs)[0]
    server.upstream.plan(blob.digest, ...Array<Answer>(20).fill(raw("garbage\r\n\r\n")))
    const { status, headers } = await server.pull(blob)

    expect([status, headers.has("retry-after")]).toEqual([503, true])
    expect((await server.facade.get("/v2/")).status).toBe(200)
  })
})

async function swallowed(signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>()
  signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  await promise
}
