import { describe, expect, test } from "bun:test"
import { createLogger } from "../../src/telemetry/log.ts"
import { Readiness } from "../../src/telemetry/readiness.ts"

function watched() {
  const lines: Record<string, unknown>[] = []
  const write = (line: string) => void lines.push(JSON.parse(line))
  const log = createLogger({ format: "json", version: "test", level: () => "debug", write })
  const said = () => lines.map(({ severity, message, condition }) => [severity, message, condition])
  return { readiness: new Readiness(log), said }
}

describe("readiness", () => {
  test("is there while nothing is told, and while what is told holds", () => {
    const { readiness } = watched()
    expect(readiness.isReady).toBe(true)
    readiness.ok("static layers")
    expect(readiness.isReady).toBe(true)
  })

  test("goes with any condition that failed, and comes back with it", () => {
    const { readiness } = watched()
    readiness.ok("static layers")
    readiness.failed("spec providers", "no answer")
    expect(readiness.isReady).toBe(false)
    readiness.ok("spec providers")
    expect(readiness.isReady).toBe(true)
  })

  test("stays while something is degraded, which is told with its reason", () => {
    const { readiness } = watched()
    readiness.degraded("redis", "no answer, asked again in 5 s")
    expect(readiness.isReady).toBe(true)
    expect(readiness.conditions).toMatchObject([
      { name: "redis", state: "degraded", reason: "no answer, asked again in 5 s" },
    ])
  })

  test("forgets a condition of what is no longer configured", () => {
    const { readiness } = watched()
    readiness.failed("redis", "no answer")
    readiness.remove("redis")
    expect(readiness.isReady).toBe(true)
    expect(readiness.conditions).toEqual([])
  })

  test("keeps since when a state holds, whatever its reason becomes", () => {
    const { readiness } = watched()
    readiness.failed("static layers", "first")
    const since = readiness.conditions[0]?.since
    readiness.failed("static layers", "second")
    expect(readiness.conditions[0]).toMatchObject({ reason: "second" })
    expect(readiness.conditions[0]?.since).toBe(since as Date)
  })

  test("is not there while something is not known yet, which is nothing to log", () => {
    const { readiness, said } = watched()
    readiness.pending("static layers", "not loaded yet")
    readiness.pending("spec providers", "not reached yet")
    expect(readiness.isReady).toBe(false)
    readiness.ok("static layers")
    expect(said()).toEqual([])
    readiness.failed("spec providers", "no answer")
    expect(said()).toEqual([["WARNING", "condition failed", "spec providers"]])
  })

  test("logs changes alone: a condition that fails for an hour is one line", () => {
    const { readiness, said } = watched()
    readiness.ok("redis")
    readiness.degraded("redis", "first")
    readiness.degraded("redis", "second")
    readiness.ok("redis")
    readiness.ok("redis")
    expect(said()).toEqual([
      ["WARNING", "condition degraded", "redis"],
      ["INFO", "condition holds again", "redis"],
    ])
  })

  test("that ends because it is meant to warns nobody", () => {
    const { readiness, said } = watched()
    readiness.ok("serving")
    readiness.ended("serving", "the process is shutting down")

    expect(readiness.isReady).toBe(false)
    expect(said()).toEqual([])
  })
})
