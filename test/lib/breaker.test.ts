import { describe, expect, test } from "bun:test"
import { Breaker } from "../../src/lib/breaker.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"

const POLICY = { failures: 3, openMs: 1000, maxOpenMs: 3000 }
const works = async () => "answer"
const fails = async () => {
  throw new Error("down")
}

function create() {
  const clock = createFakeClock()
  const changes: unknown[] = []
  const breaker = new Breaker({ ...POLICY, clock, onChange: (failure) => void changes.push(failure) })
  const fail = async () => await breaker.run(fails).catch((error) => error.message)
  const open = async () => {
    for (let count = 0; count < POLICY.failures; count += 1) await fail()
  }
  return { breaker, changes, clock, fail, open }
}

describe("Breaker", () => {
  test("asks nothing after some failures in a row, and tells the last", async () => {
    const { breaker, changes, fail } = create()
    await fail()
    await fail()
    await breaker.run(works)
    await fail()
    await fail()
    expect(breaker.isOpen).toBe(false)
    await fail()

    expect(await breaker.run(works)).toBeNull()
    expect(changes).toEqual([new Error("down")])
  })

  test("one call finds out whether it works again, others are turned away meanwhile", async () => {
    const { breaker, changes, clock, open } = create()
    await open()
    clock.advance(1000)
    const probe = Promise.withResolvers<string>()
    const probing = breaker.run(() => probe.promise)

    expect(await breaker.run(works)).toBeNull()
    probe.resolve("answer")
    expect(await probing).toBe("answer")
    expect(await breaker.run(works)).toBe("answer")
    expect(changes).toEqual([new Error("down"), null])
  })

  test("what began before it opened neither prolongs it nor lets a second one find out", async () => {
    const { breaker, clock, open } = create()
    const early = Promise.withResolvers<string>()
    const failing = breaker.run(() => early.promise).catch(() => "failed")
    await open()
    clock.advance(1000)
    const probe = Promise.withResolvers<string>()
    const probing = breaker.run(() => probe.promise)

    early.reject(new Error("down"))
    expect(await failing).toBe("failed")
    expect(await breaker.run(works)).toBeNull()
    probe.resolve("answer")
    expect(await probing).toBe("answer")
  })

  test("many failures at once open it for the first span only; each failed probe makes it longer, up to a limit", async () => {
    const { breaker, clock, fail } = create()
    await Promise.all(Array.from({ length: 50 }, fail))
    for (const span of [1000, 2000, 3000, 3000]) {
      clock.advance(span - 1)
      expect(await breaker.run(works)).toBeNull()
      clock.advance(1)
      expect(await fail()).toBe("down")
    }
  })

  test("failures that are not its own do not count", async () => {
    const { breaker } = create()
    const left = () => breaker.run(fails, () => false).catch(() => null)
    for (let count = 0; count < 10; count += 1) await left()

    expect(breaker.isOpen).toBe(false)
  })
})
