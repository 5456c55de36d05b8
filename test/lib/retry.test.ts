import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { backoffMs } from "../../src/lib/backoff.ts"
import { type RetryPolicy, retry } from "../../src/lib/retry.ts"
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts"
import { until } from "../helpers/until.ts"

const never = new AbortController().signal
const policy = (clock: FakeClock, extra: Partial<RetryPolicy> = {}): RetryPolicy => ({
  attempts: 3,
  baseMs: 100,
  capMs: 1000,
  random: () => 0.5,
  clock,
  waitMs: () => 0,
  ...extra,
})

/** Fails as often as said, then succeeds. */
function flaky(failures: number) {
  let calls = 0
  const work = async () => {
    calls += 1
    if (calls <= failures) throw new Error(`failure ${calls}`)
    return "value"
  }
  return { work, calls: () => calls }
}

describe("retry()", () => {
  test("A-34: repeats work that fails twice, with growing waits", async () => {
    const clock = createFakeClock()
    const { work, calls } = flaky(2)
    const result = retry(work, policy(clock), never)

    for (const wait of [51, 101]) {
      await until(() => clock.sleeping.length === 1)
      expect(clock.sleeping).toEqual([wait])
      clock.advance(wait)
    }
    expect(await result).toBe("value")
    expect(calls()).toBe(3)
  })

  test("gives the last failure when all attempts are used up", async () => {
    const clock = createFakeClock()
    const { work, calls } = flaky(9)
    const result = retry(work, policy(clock, { attempts: 1 }), never)

    await expect(result).rejects.toThrow("failure 1")
    expect(calls()).toBe(1)
    expect(clock.sleeping).toEqual([])
  })

  test("does not repeat what cannot help", async () => {
    const { work, calls } = flaky(9)

    await expect(retry(work, policy(createFakeClock(), { waitMs: () => null }), never)).rejects.toThrow("failure 1")
    expect(calls()).toBe(1)
  })

  test("waits at least as long as asked to", async () => {
    const clock = createFakeClock()
    const result = retry(flaky(1).work, policy(clock, { waitMs: () => 3000 }), never)

    await until(() => clock.sleeping.length === 1)
    expect(clock.sleeping).toEqual([3000])
    clock.advance(3000)
    expect(await result).toBe("value")
  })

  test("stops waiting when it is aborted", async () => {
    const clock = createFakeClock()
    const abort = new AbortController()
    const { work, calls } = flaky(9)
    const result = retry(work, policy(clock), abort.signal)
    await until(() => clock.sleeping.length === 1)
    abort.abort(new Error("enough"))

    await expect(result).rejects.toThrow("enough")
    expect(calls()).toBe(1)
  })
})

describe("backoffMs()", () => {
  test("grows, is never zero, and never passes its cap", () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, chance) => {
        const wait = backoffMs(attempt, { baseMs: 50, capMs: 5000, random: () => chance })
        expect(wait).toBeGreaterThanOrEqual(1)
        expect(wait).toBeLessThanOrEqual(5001)
      }),
    )
    const waits = [0, 1, 2, 3].map((attempt) => backoffMs(attempt, { baseMs: 50, capMs: 300, random: () => 1 }))
    expect(waits).toEqual([51, 101, 201, 301])
  })
})
