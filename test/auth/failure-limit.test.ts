import { describe, expect, test } from "bun:test"
import { FailureLimit } from "../../src/auth/failure-limit.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"

const create = (keys = 100) => {
  const clock = createFakeClock()
  return { clock, limit: new FailureLimit({ failures: 3, windowMs: 60_000, keys, clock }) }
}

describe("FailureLimit", () => {
  test("lets so many fail in a window, and tells how long it lasts", () => {
    const { clock, limit } = create()
    const waits = [0, 1, 2].map((index) => {
      limit.add("a")
      clock.advance(index * 1000)
      return limit.waitMs("a")
    })
    clock.advance(56_999)
    const last = limit.waitMs("a")
    clock.advance(1)

    expect(waits).toEqual([0, 0, 57_000])
    expect([last, limit.waitMs("a")]).toEqual([1, 0])
    limit.add("a") // begins a new window
    expect(limit.waitMs("a")).toBe(0)
  })

  test("counts each key for itself", () => {
    const { limit } = create()
    for (let count = 0; count < 3; count += 1) limit.add("a")

    expect([limit.waitMs("a") > 0, limit.waitMs("b")]).toEqual([true, 0])
  })

  test("takes back one attempt, not those before it", () => {
    const { limit } = create()
    limit.add("a")
    limit.add("a")
    const takeBack = limit.add("a")
    const before = limit.waitMs("a")
    takeBack()
    limit.add("a")

    expect([before > 0, limit.waitMs("a") > 0]).toEqual([true, true])
  })

  test("takes nothing back from a later window", () => {
    const { clock, limit } = create()
    const takeBack = limit.add("a")
    clock.advance(60_000)
    for (let count = 0; count < 3; count += 1) limit.add("a")
    takeBack()

    expect(limit.waitMs("a")).toBe(60_000)
  })

  test("remembers a bounded number of keys", () => {
    const { limit } = create(2)
    for (let count = 0; count < 3; count += 1) limit.add("a")
    limit.add("b")
    limit.add("c")

    expect(limit.waitMs("a")).toBe(0)
  })
})
