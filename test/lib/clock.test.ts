import { describe, expect, test } from "bun:test"
import { systemClock } from "../../src/lib/clock.ts"

describe("systemClock", () => {
  test("only grows", () => {
    const before = systemClock.now()

    expect(systemClock.now()).toBeGreaterThanOrEqual(before)
  })

  test("sleeps, and is woken by an abort with its reason", async () => {
    const abort = new AbortController()
    const sleeping = systemClock.sleep(600_000, abort.signal)
    abort.abort(new Error("wake up"))

    await expect(sleeping).rejects.toThrow("wake up")
    await expect(systemClock.sleep(1, abort.signal)).rejects.toThrow("wake up")
    expect(await systemClock.sleep(1)).toBeUndefined()
  })
})
