import { describe, expect, test } from "bun:test"
import { EgressError, type EgressResponse } from "../../src/egress/egress.ts"
import { pacing } from "../../src/egress/paced-egress.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { never } from "../helpers/layers.ts"
import { until } from "../helpers/until.ts"

type Answer = number | "hang" | EgressError | { readonly status: number; readonly retryAfter: string }

const url = new URL("https://registry.test/v2/")
const network = () => new EgressError("network", "registry.test cannot be reached: ECONNREFUSED")

/** A host whose answers are told by a script; the last one is repeated. */
function start(script: Answer[]) {
  const clock = createFakeClock()
  const sent: string[] = []
  const breaker: boolean[] = []
  const hanging: (() => void)[] = []
  const answer = async (given: Answer): Promise<EgressResponse> => {
    if (given instanceof EgressError) throw given
    if (given === "hang") await new Promise<void>((resolve) => hanging.push(resolve))
    const status = typeof given === "object" ? given.status : given === "hang" ? 200 : given
    const headers = new Headers(typeof given === "object" ? { "retry-after": given.retryAfter } : {})
    return { status, headers, url, isRedirected: false, body: null }
  }
  const paced = pacing({
    clock,
    patienceMs: 10_000,
    maxPauseMs: 60_000,
    failures: 3,
    openMs: 1000,
    maxOpenMs: 5000,
    onBreaker: (_, isOpen) => void breaker.push(isOpen),
  })
  const egress = paced(async (request) => {
    sent.push(request.url.host)
    return await answer((script.length > 1 ? script.shift() : script[0]) ?? 200)
  })
  const send = async (to = url) =>
    await egress({ method: "GET", url: to }, never).then(
      ({ status }) => status,
      (error: EgressError) => `${error.fault}: ${error.message}`,
    )
  return { clock, sent, breaker, hanging, send }
}

describe("pacing()", () => {
  test.each([
    ["seconds", "3", 3000],
    ["a date", () => new Date(Date.now() + 3000).toUTCString(), 2000],
    ["nothing that is understood", "soon", 1000],
  ])("A11, D-23: 429 with %s is kept by all requests to the host", async (_, header, atLeastMs) => {
    const retryAfter = typeof header === "string" ? header : header()
    const { clock, send, sent } = start([{ status: 429, retryAfter }, 200])
    expect(await send()).toBe(429)
    const waiting = [send(), send(), send()]
    await until(() => clock.sleeping.length === 3)
    clock.advance(atLeastMs - 1)
    expect(sent).toHaveLength(1)
    clock.advance(1001)

    expect(await Promise.all(waiting)).toEqual([200, 200, 200])
    expect(sent).toHaveLength(4)
  })

  test("A11: when the time is over one request goes first, and the others wait for its answer", async () => {
    const { clock, send, sent, hanging } = start([{ status: 429, retryAfter: "2" }, "hang", 200])
    await send()
    const waiting = Array.from({ length: 500 }, () => send())
    await until(() => clock.sleeping.length === 500)
    clock.advance(2000)
    await until(() => hanging.length === 1)
    expect(sent).toHaveLength(2)
    hanging[0]?.()

    expect(new Set(await Promise.all(waiting))).toEqual(new Set([200]))
    expect(sent).toHaveLength(501)
  })

  test("A11: one that asks again is left alone again, for all who wait", async () => {
    const busy = { status: 429, retryAfter: "4" }
    const { clock, send, sent } = start([busy, busy, busy, 200])
    await send()
    const waiting = Array.from({ length: 10 }, () => send())
    for (let pauses = 0; pauses < 2; pauses += 1) {
      await until(() => clock.sleeping.length > 0)
      clock.advance(4000)
    }
    const results = await Promise.all(waiting)

    expect(results.filter((result) => result === 429)).toHaveLength(2)
    expect(results.filter((result) => String(result).startsWith("busy: "))).toHaveLength(8)
    expect(sent).toHaveLength(3)
  })

  test("A11: what was under way when the host asked does not end the pause", async () => {
    const { clock, send, sent, hanging } = start(["hang", { status: 429, retryAfter: "5" }, 200])
    const early = send()
    await until(() => hanging.length === 1)
    expect(await send()).toBe(429)
    hanging[0]?.()
    expect(await early).toBe(200)
    const late = send()
    await until(() => clock.sleeping.length === 1)

    expect(sent).toHaveLength(2)
    clock.advance(5000)
    expect(await late).toBe(200)
  })

  test("A11: a time that nobody waits for is told, and nothing is sent", async () => {
    const { send, sent } = start([{ status: 429, retryAfter: "30" }, 200])
    await send()

    expect(await send()).toBe("busy: registry.test has asked to be left alone for 30 s more")
    expect(sent).toHaveLength(1)
  })

  test("A11: no host can ask for more than a minute", async () => {
    const { clock, send } = start([{ status: 429, retryAfter: "999999" }, 200])
    await send()
    clock.advance(60_001)

    expect(await send()).toBe(200)
  })

  test("503 with Retry-After is a wish like 429, without it is not", async () => {
    const asking = start([{ status: 503, retryAfter: "30" }, 200])
    const plain = start([503, 200])
    await Promise.all([asking.send(), plain.send()])

    expect([await asking.send(), await plain.send()]).toEqual([expect.stringContaining("busy: "), 200])
  })

  test("hosts are left alone one by one, by host and port", async () => {
    const { send } = start([{ status: 429, retryAfter: "30" }, 200])
    await send()

    expect([await send(new URL("https://other.test/")), await send(new URL("https://registry.test:5000/"))]).toEqual([
      200, 200,
    ])
  })

  test("A10: the breaker opens after failures in a row, and lets one through to see", async () => {
    const { breaker, clock, send, sent } = start([network(), 503, network(), network(), 200])
    for (let failures = 0; failures < 3; failures += 1) await send()
    expect(breaker).toEqual([true])
    const waiting = [send(), send(), send()]
    await until(() => clock.sleeping.length === 3)
    clock.advance(1000)
    await until(() => sent.length === 4)
    await until(() => clock.sleeping.length === 2)
    clock.advance(2000)

    expect(await Promise.all(waiting)).toEqual(["network: registry.test cannot be reached: ECONNREFUSED", 200, 200])
    expect(breaker).toEqual([true, true, false])
    expect(sent).toHaveLength(6)
  })

  test("A10: a success in between begins the count anew", async () => {
    const { breaker, send } = start([503, 503, 200, 503, 503, 200])
    for (let sends = 0; sends < 6; sends += 1) await send()

    expect(breaker).toEqual([])
  })

  test("A10: answers that are the request's own fault are no failures", async () => {
    const { breaker, send } = start([404, 401, 403, 400, 404, 404])
    for (let sends = 0; sends < 6; sends += 1) await send()

    expect(breaker).toEqual([])
  })

  test("A10: the host is asked for at longer and longer intervals, up to a limit", async () => {
    const { clock, send, sent } = start([network()])
    for (let failures = 0; failures < 3; failures += 1) await send()
    const pauses: number[] = []
    for (let probes = 0; probes < 5; probes += 1) {
      const sending = send()
      await until(() => clock.sleeping.length === 1)
      pauses.push(clock.sleeping[0] ?? 0)
      clock.advance(pauses.at(-1) ?? 0)
      await sending
    }

    expect(pauses).toEqual([1000, 2000, 4000, 5000, 5000])
    expect(sent).toHaveLength(8)
  })

  test("the request that goes first does not hold up the others for ever", async () => {
    const { clock, send, hanging } = start([{ status: 429, retryAfter: "1" }, "hang"])
    await send()
    void send()
    const waiting = send()
    await until(() => clock.sleeping.length === 2)
    clock.advance(1000)
    await until(() => hanging.length === 1 && clock.sleeping.length === 1)
    clock.advance(10_000)

    expect(await waiting).toBe("busy: registry.test has asked to be left alone for 0 s more")
  })

  test.each([501, 505])("A10: %d is no failure: the host is well, and says what it does not do", async (status) => {
    const { breaker, send, sent } = start([status])
    for (let times = 0; times < 10; times += 1) expect(await send()).toBe(status)

    expect([sent.length, breaker]).toEqual([10, []])
  })

  test.each([501, 505])("A10: %d ends what failures have begun", async (status) => {
    const { breaker, send } = start([500, 500, status, 500, 500, status])
    for (let times = 0; times < 6; times += 1) await send()

    expect(breaker).toEqual([])
  })
})
