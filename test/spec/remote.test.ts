import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type Clock, systemClock } from "../../src/lib/clock.ts"
import { HttpSpecSource } from "../../src/spec/http.ts"
import { RemoteSpecProvider } from "../../src/spec/remote.ts"
import { Readiness } from "../../src/telemetry/readiness.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { testEgress } from "../helpers/egress.ts"
import { type ManualClock, manualClock } from "../helpers/manual-clock.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { type SpecWeb, startSpecWeb } from "../helpers/spec-web.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const never = new AbortController().signal
const policy = PRODUCTION.specs
const spec = (baseRef: string) => () => Response.json({ baseRef })
const broken = () => new Response("", { status: 500 })

let webs: readonly SpecWeb[]
let clock: ManualClock
let readiness: Readiness
let provider: RemoteSpecProvider

function start(): void {
  const sources = webs.map(
    ({ url }) => new HttpSpecSource({ url, egress: testEgress(), clock: systemClock, patienceMs: 10_000 }),
  )
  provider = new RemoteSpecProvider({ sources, policy, clock, log: silentLogger, readiness })
  provider.watch()
}

beforeEach(async () => {
  webs = [startSpecWeb(), startSpecWeb()]
  clock = manualClock()
  readiness = new Readiness(silentLogger)
})
afterEach(() => {
  provider.close()
  for (const web of webs) web.stop()
})

const [first, second] = [() => webs[0] as SpecWeb, () => webs[1] as SpecWeb]
const asked = (web: SpecWeb) => web.seen.filter((path) => !path.includes("not-a-valid-image")).length
const base = async (name = "a") => (await provider.resolve(name, never))?.baseText ?? null
const failure = async (name = "a") => await provider.resolve(name, never).then(String, (error) => error)
const state = () => readiness.conditions.map((condition) => condition.state)

describe("specs of other servers", () => {
  test("the first source that has a spec wins, the others are not asked", async () => {
    start()
    first().answer(spec("one"))
    second().answer(spec("two"))
    expect(await base()).toBe("one")
    expect(asked(second())).toBe(0)
  })

  test("the next one is asked when one does not know the name, or cannot tell", async () => {
    start()
    second().answer(spec("two"))
    expect(await base()).toBe("two")
    first().answer(broken)
    expect(await base("b")).toBe("two")
  })

  test("a name is unknown only if all have said so; else it cannot be told", async () => {
    start()
    expect(await base()).toBeNull()
    first().answer(broken)
    expect(await failure("b")).toMatchObject({ code: "UNAVAILABLE", status: 503 })
  })

  test("a spec is asked for once in its time, by whoever", async () => {
    start()
    first().answer(spec("one"))
    await Promise.all([base(), base(), base()])
    await clock.advance(policy.ttlMs - 1)
    await base()
    expect(asked(first())).toBe(1)

    first().answer(spec("changed"))
    await clock.advance(1)
    expect(await base()).toBe("changed")
  })

  test("what is remembered stays within its bound, whatever a spec is large by", async () => {
    const text = "x".repeat(1024 * 1024)
    start()
    const contents: Readonly<Record<string, object>> = {
      files: { layers: [{ files: { "/f": text } }] },
      labels: { config: { labels: { text } } },
      env: { config: { env: { set: { text } } } },
      annotations: { annotations: { text } },
    }
    for (const [kind, content] of Object.entries(contents)) {
      first().answer(() => Response.json({ baseRef: "scratch", ...content }))
      for (let at = 0; at < 80; at += 1) await base(`${kind}/${at}`)
      const before = asked(first())
      await base(`${kind}/79`)
      expect(asked(first())).toBe(before)
      await base(`${kind}/0`)
      expect(asked(first())).toBe(before + 1)
    }
  })

  test("an unknown name is asked for again a second later, so that nothing hides what has become of the source", async () => {
    start()
    expect(await base()).toBeNull()
    first().answer(spec("one"))
    expect(await base()).toBeNull()
    await clock.advance(1000)
    expect(await base()).toBe("one")
  })

  test("a failure is told to nobody who asks later", async () => {
    start()
    first().answer(broken)
    expect(await failure()).toMatchObject({ code: "UNAVAILABLE" })
    first().answer(spec("one"))
    expect(await base()).toBe("one")
  })

  test("while no source can tell, a spec is used as it was for an hour", async () => {
    start()
    first().answer(spec("one"))
    await base()
    for (const web of webs) web.answer(broken)
    await clock.advance(policy.staleMs - 1)
    expect(await base()).toBe("one")
    await clock.advance(1)
    expect(await failure()).toMatchObject({ code: "UNAVAILABLE" })
  })

  test("a name that has become unknown is not used as it was", async () => {
    start()
    first().answer(spec("one"))
    await base()
    first().answer(() => new Response("", { status: 404 }))
    await clock.advance(policy.ttlMs)
    expect(await base()).toBeNull()
  })

  test("a source that is gone is asked at most twice a second", async () => {
    start()
    for (const web of webs) web.stop()
    await until(() => state()[0] === "failed")
    const errors = await Promise.all([failure("a"), failure("b"), failure("c")])
    expect(errors.map(({ detail }) => detail)).toEqual(Array(3).fill("provider_unreachable"))
  })

  test("a source that took long to fail is left alone as long, and the next one is asked at once", async () => {
    const silence = Promise.withResolvers<Response>()
    first().answer(async () => await silence.promise)
    second().answer(spec("two"))
    const [slow, quick] = webs.map(({ url }) => url)
    const sourceOf = (url: string, own: Clock) =>
      new HttpSpecSource({ url, egress: testEgress(), clock: own, patienceMs: 10_000 })
    const sources = [sourceOf(slow ?? "", clock), sourceOf(quick ?? "", systemClock)]
    provider = new RemoteSpecProvider({ sources, policy, clock, log: silentLogger, readiness })
    const held = base("a")
    await until(() => asked(first()) === 1)
    await clock.advance(10_000)
    expect(await held).toBe("two")

    expect(await base("b")).toBe("two")
    await clock.advance(9_999)
    expect(await base("c")).toBe("two")
    expect(asked(first())).toBe(1)

    first().answer(spec("one"))
    await clock.advance(1)
    expect(await base("d")).toBe("one")
    silence.resolve(new Response())
  })

  test("a wrong spec is told, and does not count against its source", async () => {
    start()
    first().answer(() => Response.json({ baseRef: "" }))
    second().answer(broken)
    await until(() => state()[0] === "degraded")
    expect((await failure()).message).toContain("answered 500")
    second().answer(() => new Response("", { status: 404 }))
    expect(await failure("b")).toMatchObject({ code: "MANIFEST_INVALID" })
  })
})

describe("whether the sources are there", () => {
  test("is not known before they were reached, which is tried at once", async () => {
    start()
    expect(state()).toEqual(["pending"])
    expect(readiness.isReady).toBe(false)
    await until(() => state()[0] === "ok")
    expect(webs.map((web) => web.seen)).toEqual([["/specs/not-a-valid-image"], ["/specs/not-a-valid-image"]])
  })

  test("is asked of a quiet source again and again, not of a busy one", async () => {
    start()
    await until(() => state()[0] === "ok")
    first().answer(spec("one"))
    await clock.advance(policy.probeMs - 1)
    await base()
    await clock.advance(1)
    await until(() => second().seen.length === 2)
    expect(first().seen).toHaveLength(2)
  })

  test("C-2: the process is not ready while none of them is, and ready again when one is back", async () => {
    start()
    await until(() => state()[0] === "ok")
    for (const web of webs) web.answer(broken)
    await clock.advance(policy.probeMs)
    await until(() => state()[0] === "failed")
    expect(readiness.isReady).toBe(false)

    first().answer(() => new Response("", { status: 404 }))
    await clock.advance(policy.probeMs / 5)
    await until(() => state()[0] === "degraded")
    expect(readiness.isReady).toBe(true)
    expect(readiness.conditions[0]?.reason).toContain("answered 500")
  })

  test("a name that fails alone says nothing about its source", async () => {
    start()
    await until(() => state()[0] === "ok")
    first().answer((name) => (name === "a" ? broken() : new Response("", { status: 404 })))
    await failure("a")
    expect(state()).toEqual(["ok"])
  })
})
