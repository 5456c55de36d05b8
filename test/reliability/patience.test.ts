import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { Dialer } from "../../src/egress/dialer.ts"
import { watchBody } from "../../src/egress/watch-body.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { type FaultyFacade, startFaultyFacade } from "../helpers/faulty-facade.ts"
import { silence, stallAt, status } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { manualClock } from "../helpers/manual-clock.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const LARGE = 9 * MIB
const never = new AbortController().signal

describe("an upstream that goes silent", () => {
  const [stalled, mute, large] = [opaqueLayer(400_000, 1), opaqueLayer(400_000, 2), opaqueLayer(LARGE, 3)]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers: [stalled, mute, large] }) },
      registry: { timeouts: { connect: "1s", firstByte: "400ms", progress: "300ms" } },
    })
  })
  afterAll(async () => await server.stop())

  test("A9: before the first byte is asked again after the configured time", async () => {
    server.upstream.plan(mute.digest, silence)
    const { status, body } = await server.pull(mute)
    const [first, second] = server.upstream.asked(mute.digest)

    expect([status, body?.equals(mute.bytes)]).toEqual([200, true])
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(400)
  })

  test.each([
    ["small", stalled],
    ["large", large],
  ])("A9: in the middle of a %s blob goes on where it was after the configured time", async (_, blob) => {
    server.upstream.plan(blob.digest, stallAt(0.5))
    const { status, body } = await server.pull(blob)
    const [first, second] = server.upstream.asked(blob.digest)

    expect([status, body?.equals(blob.bytes)]).toEqual([200, true])
    expect(second?.range).toBe(`bytes=${blob.size / 2}-`)
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(300)
  })
})

describe("patience with upstreams, by a clock", () => {
  test("A9: connect 5 s, first byte 30 s, progress 30 s are what is waited where nothing is configured", () => {
    const { connectMs, firstByteMs, progressMs } = PRODUCTION.egress

    expect({ connectMs, firstByteMs, progressMs }).toEqual({ connectMs: 5000, firstByteMs: 30_000, progressMs: 30_000 })
  })

  test("A9: a connection that is neither made nor refused is given up in time, and the host is named", async () => {
    const clock = manualClock()
    const dialer = new Dialer({ clock, connectMs: 5000, lookup: async () => ["192.0.2.1"], probe: forever })
    const dialling = dialer.dial(new URL("https://black.test/"), ["192.0.2.1"], never)
    dialling.catch(() => {}) // looked at below
    await clock.advance(4999)
    await clock.advance(1)

    await expect(dialling).rejects.toThrow("black.test cannot be reached: no connection within 5 s")
  })

  test("A9: one byte a second is silence, too, after a while", async () => {
    const clock = createFakeClock()
    const pipe = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>()
    const writer = pipe.writable.getWriter()
    const { progressMs, trickleBytes, trickleMs } = PRODUCTION.egress
    const options = { host: "slow.test", progressMs, trickleBytes, trickleMs, clock, signal: never }
    const reader = watchBody(pipe.readable, options).getReader()
    const second = async () => {
      const reading = reader.read()
      await until(() => clock.sleeping.length === 1)
      clock.advance(1000)
      const written = writer.write(new Uint8Array(1)).catch(() => {}) // the other end may be gone
      await Promise.all([reading, written])
    }
    for (let seconds = 0; seconds < 59; seconds += 1) await second()

    await expect(second()).rejects.toThrow("slow.test sent only 60 bytes in 60 s")
  })
})

describe("an upstream that fails for a while", () => {
  const blobs = Array.from({ length: 20 }, (_, index) => opaqueLayer(5000, 10 + index))
  const [kept, flapping, seconds, date, ...waiting] = blobs as [
    (typeof blobs)[0],
    (typeof blobs)[0],
    (typeof blobs)[0],
    (typeof blobs)[0],
    ...typeof blobs,
  ]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({ images: { a: await image({ layers: blobs }) } })
    await server.facade.get("/v2/fixed/a/manifests/latest")
    await server.pull(kept)
  })
  afterAll(async () => await server.stop())

  const refused = async () =>
    await server.metric(`upstream_requests_total{host="${server.upstream.host}",kind="blob",code="429"}`)
  const breaker = async () => await server.metric(`breaker_open{dependency="${server.upstream.host}"}`)

  test("A10: 5xx for some seconds delay a pull, and fail none; what is in the store is not touched", async () => {
    server.upstream.always(status(503))
    const pull = server.pull(flapping)
    await until(async () => (await breaker()) === 1)
    const served = await Promise.all(Array.from({ length: 50 }, async () => await server.pull(kept)))
    const asked = server.upstream.asked(flapping.digest).length
    server.upstream.always(null)

    expect(served.map(({ status }) => status)).toEqual(Array(50).fill(200))
    expect(asked).toBeLessThanOrEqual(6)
    expect((await pull).body?.equals(flapping.bytes)).toBe(true)
    expect(await breaker()).toBe(0)
  })

  test.each([
    ["seconds", seconds, () => "1"],
    // A date has whole seconds, so it is one to two seconds ahead
    ["a date", date, () => new Date(Date.now() + 2000).toUTCString()],
  ])("A11: 429 that names %s is waited for, and everyone else waits with it", async (_, first, retryAfter) => {
    const others = waiting.splice(0, 7)
    const before = await refused()
    let toldAt = 0
    server.upstream.plan(first.digest, async (request, connection, content) => {
      toldAt = performance.now()
      return await status(429, { "retry-after": retryAfter() })(request, connection, content)
    })
    const pulls = [server.pull(first)]
    await until(() => toldAt > 0)
    await until(async () => (await refused()) > before)
    pulls.push(...others.map((blob) => server.pull(blob)))
    const answers = await Promise.all(pulls)
    const later = [first, ...others].flatMap(({ digest }) => server.upstream.asked(digest).map(({ at }) => at))

    expect(answers.map(({ status }) => status)).toEqual(Array(8).fill(200))
    expect(later.filter((at) => at > toldAt && at < toldAt + 950)).toEqual([])
    expect(later.length).toBe(9)
  })
})

describe("an upstream that wants to be left alone for long", () => {
  const [kept, wanted] = [opaqueLayer(5000, 1), opaqueLayer(5000, 2)]
  let server: FaultyFacade

  beforeAll(async () => {
    const downloads = { ...PRODUCTION.downloads, firstByteMs: 300 }
    const images = { a: await image({ layers: [kept, wanted] }) }
    server = await startFaultyFacade({ mode: "source", tuning: { ...PRODUCTION, downloads }, images })
    await server.pull(kept)
  })
  afterAll(async () => await server.stop())

  test("A11: is not waited for longer than clients wait, and they are told how long; others are served", async () => {
    server.upstream.always(status(429, { "retry-after": "3600" }))
    const { status: code, headers } = await server.pull(wanted)

    expect([code, headers.get("retry-after")]).toEqual([429, "3600"])
    expect(server.upstream.asked(wanted.digest).length).toBe(1)
    expect((await server.pull(kept)).status).toBe(200)
  })
})

const forever = async (_address: string, _port: number, signal: AbortSignal): Promise<void> => {
  const { promise, reject } = Promise.withResolvers<void>()
  signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  await promise
}
