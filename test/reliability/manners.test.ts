import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { connect, createServer } from "node:net"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { image, opaqueLayer, sha256, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { scrape } from "../helpers/scrape.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let upstream: UpstreamServer
let mirrors: UpstreamServer[]
let app: TestImage
let facade: RunningFacade
beforeEach(async () => {
  upstream = startUpstream()
  mirrors = [startUpstream(), startUpstream()]
  app = await image({ layers: [opaqueLayer(60_000, 21)] })
})
afterEach(async () => {
  await facade.stop()
  for (const server of [upstream, ...mirrors]) server.stop()
})

async function start(options: FacadeOptions = {}): Promise<void> {
  const specs = { app: { baseRef: `${upstream.host}/lab/app:1` } }
  facade = await startFacade({ specs, tuning: IMPATIENT, ...options, registry: { tagTTL: "0s", ...options.registry } })
}
const manifest = async () => await facade.get("/v2/fixed/app/manifests/latest")
const layer = async () => {
  const answer = await facade.get(`/v2/fixed/app/blobs/${app.layers[0]?.digest}`)
  return answer.status === 200 ? sha256(new Uint8Array(await answer.arrayBuffer())) : answer.status
}

describe("a registry that limits how often it is asked", () => {
  test.each([
    ["seconds", () => "3"],
    ["a date", () => new Date(Date.now() + 3000).toUTCString()],
  ])("D-23: 429 with Retry-After as %s is waited for, and the client does not notice", async (_, retryAfter) => {
    upstream.add("lab/app", "1", app)
    const times: number[] = []
    upstream.roles.push(() => {
      times.push(performance.now())
      return times.length === 1 ? new Response(null, { status: 429, headers: { "retry-after": retryAfter() } }) : null
    })
    await start()
    const statuses = (await Promise.all(Array.from({ length: 5 }, manifest))).map(({ status }) => status)

    expect(new Set(statuses)).toEqual(new Set([200]))
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(1900)
  })

  test("D-23: one that asks for more than clients wait gets no more requests, and clients are told when to come", async () => {
    upstream.add("lab/app", "1", app)
    upstream.roles.push(() => new Response(null, { status: 429, headers: { "retry-after": "40" } }))
    await start()
    const answers = []
    for (let pulls = 0; pulls < 5; pulls += 1) answers.push(await manifest())

    expect(answers.map(({ status }) => status)).toEqual([429, 429, 429, 429, 429])
    for (const { headers } of answers) expect(Number(headers.get("retry-after"))).toBeGreaterThan(30)
    expect(upstream.seen).toHaveLength(1)
    expect(await answers[0]?.text()).toContain(`${upstream.host} answered 429; its limit of requests is reached`)
  })

  test("A10: one that fails again and again is left alone, which is measured", async () => {
    const metrics = `127.0.0.1:${freePort()}`
    upstream.roles.push(() => new Response(null, { status: 500 }))
    const egress = { ...IMPATIENT.egress, failures: 5, openMs: 60_000, maxOpenMs: 60_000 }
    await start({
      tuning: { ...IMPATIENT, egress },
      registry: { upstreams: { [upstream.host]: {} } },
      config: { prometheusAddr: metrics },
    })
    for (let pulls = 0; pulls < 4; pulls += 1) await manifest()
    const answer = await manifest()

    expect(upstream.seen).toHaveLength(5)
    expect((await scrape(metrics)).get(`breaker_open{dependency="${upstream.host}"}`)).toBe(1)
    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(30)
    expect(await answer.text()).toContain(`${upstream.host} answered 500, 5 times in a row; it is asked again in`)
  })
})

describe("mirrors", () => {
  const configured = () => ({ upstreams: { [upstream.host]: { mirrors: mirrors.map(({ url }) => url.origin) } } })
  const hosts = () => [...mirrors, upstream].map(({ seen }) => seen.length > 0)

  test("the first that has an image gives it, and is told whose it is", async () => {
    mirrors[0]?.add("lab/app", "1", app)
    await start({ registry: configured() })

    expect([(await manifest()).status, await layer()]).toEqual([200, app.layers[0]?.digest ?? ""])
    expect(hosts()).toEqual([true, false, false])
  })

  test.each([
    ["has nothing", () => new Response(null, { status: 404 })],
    ["fails", () => new Response(null, { status: 500 })],
    ["refuses us", () => new Response(null, { status: 403 })],
    ["wants a login", () => new Response(null, { status: 401 })],
    ["sends a web page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
    ["sends other bytes", () => new Response("x".repeat(60_000))],
  ])("one that %s is passed over for the next, and then for the registry", async (_, answer) => {
    mirrors[0]?.roles.push(answer)
    upstream.add("lab/app", "1", app)
    await start({ registry: configured() })

    expect([(await manifest()).status, await layer()]).toEqual([200, app.layers[0]?.digest ?? ""])
    expect(hosts()).toEqual([true, true, true])
  })

  test("ones that cannot be reached cost nothing but time", async () => {
    for (const mirror of mirrors) mirror.stop()
    upstream.add("lab/app", "1", app)
    await start({ registry: configured() })

    expect([(await manifest()).status, await layer()]).toEqual([200, app.layers[0]?.digest ?? ""])
  })

  test("one that fails is told once a minute, and counted each time", async () => {
    const metrics = `127.0.0.1:${freePort()}`
    const host = mirrors[0]?.host ?? ""
    mirrors[0]?.roles.push(() => new Response(null, { status: 403 }))
    upstream.add("lab/app", "1", app)
    const level = { flags: [], env: { LOG_LEVEL: "info" } }
    await start({ mode: "binary", ...level, registry: configured(), config: { prometheusAddr: metrics } })
    for (let pulls = 0; pulls < 3; pulls += 1) expect((await manifest()).status).toBe(200)
    const told = () => facade.logs.filter(({ message }) => message === "a mirror fails, the next one is asked")
    await until(() => told().length > 0)

    expect(told()).toEqual([
      expect.objectContaining({ level: "warning", mirror: host, reference: `${upstream.host}/lab/app:1` }),
    ])
    expect((await scrape(metrics)).get(`mirror_failures_total{host="${host}"}`)).toBeGreaterThanOrEqual(3)
  })

  test("what only they have is served while the registry is down", async () => {
    mirrors[1]?.add("lab/app", "1", app)
    upstream.roles.push(() => new Response(null, { status: 500 }))
    await start({ registry: configured() })

    expect([(await manifest()).status, await layer()]).toEqual([200, app.layers[0]?.digest ?? ""])
  })

  test("only the registry itself can say that there is nothing", async () => {
    await start({ registry: configured() })
    const answer = await manifest()

    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain(`Cannot find image ${upstream.host}/lab/app:1`)
    expect(upstream.seen.length).toBeGreaterThan(0)
  })
})

test("Q-U2: connections are used again: twenty requests, one after the other, are not twenty connections", async () => {
  const layers = Array.from({ length: 20 }, (_, seed) => opaqueLayer(2000, 300 + seed))
  upstream.add("lab/app", "1", await image({ layers }))
  let connections = 0
  const counter = createServer((client) => {
    connections += 1
    const forward = connect(Number(upstream.url.port), "127.0.0.1")
    client.pipe(forward).pipe(client)
    client.on("error", () => forward.destroy())
    forward.on("error", () => client.destroy())
  })
  await new Promise<void>((resolve) => counter.listen(0, "127.0.0.1", resolve))
  const address = counter.address()
  const host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`
  await start({ specs: { app: { baseRef: `${host}/lab/app:1` } }, registry: { tagTTL: "1h" } })
  await manifest()
  for (const { digest } of layers) await (await facade.get(`/v2/fixed/app/blobs/${digest}`)).arrayBuffer()

  expect(upstream.seen.length).toBeGreaterThanOrEqual(22)
  expect(connections).toBeLessThanOrEqual(4) // one of them finds out whether the address answers
  counter.close()
})
