import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { TokenCache, type TokenRequest } from "../../src/upstream/token.ts"
import { startBroken } from "../helpers/broken-server.ts"
import { testEgress } from "../helpers/egress.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { never } from "../helpers/layers.ts"
import { startTokenServer, type TokenServer } from "../helpers/login-server.ts"

let server: TokenServer
beforeEach(() => {
  server = startTokenServer()
})
afterEach(() => server.stop())

function start() {
  const clock = createFakeClock()
  const cache = new TokenCache({ egress: testEgress(), clock, metrics: createMetrics() })
  const request: TokenRequest = {
    registry: new URL("http://127.0.0.1:5000"),
    realms: [],
    label: "other",
    realm: server.url,
    service: null,
    scope: "repository:a:pull",
    credential: null,
  }
  const get = (changes: Partial<TokenRequest> = {}) => cache.authorization({ ...request, ...changes }, never)
  return { clock, cache, request, get }
}
const lasting = (seconds?: unknown) => (number: number) => Response.json({ token: `t${number}`, expires_in: seconds })

describe("TokenCache", () => {
  test("one fetch serves everyone who waits", async () => {
    const { get } = start()

    expect(new Set(await Promise.all(Array.from({ length: 100 }, () => get())))).toEqual(new Set(["Bearer token-1"]))
    expect(server.asked).toHaveLength(1)
  })

  test.each([
    ["300 s are used for 240", 300, 239_000, 241_000],
    ["3600 s are used for 2880", 3600, 2_879_000, 2_881_000],
    ["nothing said is taken as 60 s", undefined, 47_000, 49_000],
    ["less than 60 s is taken as 60", 5, 47_000, 49_000],
    ["nonsense is taken as 60 s", "soon", 47_000, 49_000],
  ])("a token is renewed before it expires: %s", async (_, seconds, still, late) => {
    server.answer = lasting(seconds)
    const { clock, get } = start()
    await get()
    clock.advance(still)
    expect(await get()).toBe("Bearer t1")
    clock.advance(late - still)
    expect(await get()).toBe("Bearer t2")
  })

  test("every scope, service, realm and credential has a token of its own", async () => {
    const { get } = start()
    const wishes: Partial<TokenRequest>[] = [
      {},
      { scope: "repository:b:pull" },
      { service: "x" },
      { realm: new URL("?a=b", server.url) },
      { credential: { kind: "password", username: "a", password: "b" } },
      { credential: { kind: "password", username: "a", password: "c" } },
      { registry: new URL("http://127.0.0.1:5001") },
    ]
    const found = []
    for (const wish of [...wishes, ...wishes]) found.push(await get(wish))

    expect(server.asked).toHaveLength(wishes.length)
    expect(new Set(found).size).toBe(wishes.length)
    expect(server.asked[3]?.query.get("a")).toBe("b")
  })

  test("a token that was refused is forgotten, another one is not", async () => {
    const { cache, get, request } = start()
    const first = await get()
    cache.forget(request, "Bearer of-long-ago")
    expect(await get()).toBe(first)
    cache.forget(request, first)
    const second = await get()
    cache.forget(request, first)

    expect(second).toBe("Bearer token-2")
    expect(await get()).toBe(second)
  })

  test("a failure is told to all who wait, and not remembered", async () => {
    server.answer = () => new Response(null, { status: 503 })
    const { get } = start()
    const results = await Promise.allSettled([get(), get()])
    server.answer = null

    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"])
    expect(await get()).toBe("Bearer token-2")
  })

  test("an answer without end is not read to its end", async () => {
    server.answer = () => new Response("x".repeat(2 * 1024 * 1024))

    await expect(start().get()).rejects.toThrow()
  })

  test("an answer that is too large for a token is no fault of ours", async () => {
    server.answer = () => new Response("x".repeat(1024 * 1024 + 1))
    const error = await start()
      .get()
      .catch((reason) => reason)
    expect(error).toMatchObject({ code: "UNAVAILABLE" })
    expect(error.message).toContain(`${server.url.host} answered with too much for a token`)
  })

  test("whoever is refused with a large page is refused", async () => {
    server.answer = () => new Response("x".repeat(1024 * 1024 + 1), { status: 401 })
    await expect(start().get()).rejects.toMatchObject({ code: "DENIED" })
  })

  test("a server that breaks off its answer is told by its host", async () => {
    const broken = startBroken()
    const error = await start()
      .get({ realm: new URL(broken.url) })
      .catch((reason) => reason)
    broken.stop()
    expect(error).toMatchObject({ name: "EgressError", fault: "network" })
    expect(error.message).toContain(`${new URL(broken.url).host} broke off its answer: ECONNRESET`)
  })
})
