import { describe, expect, test } from "bun:test"
import { inTime } from "../../src/lib/in-time.ts"
import { manualClock } from "../helpers/manual-clock.ts"

const late = () => new Error("too late")

describe("inTime()", () => {
  test("gives the result, and lets go of the clock", async () => {
    const clock = manualClock()

    expect(await inTime(Promise.resolve(7), { clock, patienceMs: 10 }, late)).toBe(7)
    expect(clock.sleepers).toBe(0)
  })

  test("rejects as the work does, and lets go of the clock", async () => {
    const clock = manualClock()
    const failing = inTime(Promise.reject(new Error("broken")), { clock, patienceMs: 10 }, late)

    expect(failing).rejects.toThrow("broken")
    await failing.catch(() => {})
    expect(clock.sleepers).toBe(0)
  })

  test("rejects when patience is over, not before", async () => {
    const clock = manualClock()
    let isOver = false
    const waiting = inTime(new Promise(() => {}), { clock, patienceMs: 10 }, late).catch((error) => {
      isOver = true
      return error
    })

    await clock.advance(9)
    expect(isOver).toBe(false)
    await clock.advance(1)
    expect(await waiting).toEqual(late())
  })

  test("leaves the work alone when patience is over, also when it fails later", async () => {
    const clock = manualClock()
    const work = Promise.withResolvers<number>()
    const waiting = inTime(work.promise, { clock, patienceMs: 10 }, late)
    waiting.catch(() => {})
    await clock.advance(10)
    work.reject(new Error("nobody waits for this"))

    await expect(waiting).rejects.toThrow("too late")
  })
})
