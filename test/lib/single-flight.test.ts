import { describe, expect, test } from "bun:test"
import { abortable, SingleFlight } from "../../src/lib/single-flight.ts"

const never = new AbortController().signal

interface Work {
  readonly signal: AbortSignal
  readonly resolve: (value: string) => void
  readonly reject: (error: Error) => void
}

/** Work that ends when a test says so. */
function workshop() {
  const started: Work[] = []
  const work = (signal: AbortSignal) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    started.push({ signal, resolve, reject })
    return promise
  }
  return { started, work }
}

describe("SingleFlight", () => {
  test("many who ask for the same get the result of one call", async () => {
    const { started, work } = workshop()
    const flights = new SingleFlight<string, string>()
    const asked = Array.from({ length: 100 }, () => flights.run("key", work, never))
    started[0]?.resolve("value")

    expect(new Set(await Promise.all(asked))).toEqual(new Set(["value"]))
    expect(started.length).toBe(1)
  })

  test("a failure reaches all, and is not remembered", async () => {
    const { started, work } = workshop()
    const flights = new SingleFlight<string, string>()
    const asked = [1, 2].map(() => flights.run("key", work, never))
    started[0]?.reject(new Error("broken"))

    for (const result of await Promise.allSettled(asked)) expect(result).toMatchObject({ status: "rejected" })
    const again = flights.run("key", work, never)
    started[1]?.resolve("value")
    expect(await again).toBe("value")
  })

  test("other keys are other calls", async () => {
    const { started, work } = workshop()
    const flights = new SingleFlight<string, string>()
    const asked = ["a", "b"].map((key) => flights.run(key, work, never))
    for (const [index, { resolve }] of started.entries()) resolve(String(index))

    expect(await Promise.all(asked)).toEqual(["0", "1"])
  })

  test("one who leaves disturbs nobody", async () => {
    const { started, work } = workshop()
    const flights = new SingleFlight<string, string>()
    const impatient = new AbortController()
    const leaving = flights.run("key", work, impatient.signal)
    const staying = flights.run("key", work, never)
    impatient.abort(new Error("enough"))

    await expect(leaving).rejects.toThrow("enough")
    expect(started[0]?.signal.aborted).toBe(false)
    started[0]?.resolve("value")
    expect(await staying).toBe("value")
  })

  test("when all have left the work is aborted, and who asks then starts anew", async () => {
    const { started, work } = workshop()
    const flights = new SingleFlight<string, string>()
    const impatient = new AbortController()
    const leaving = flights.run("key", work, impatient.signal)
    impatient.abort(new Error("enough"))
    await expect(leaving).rejects.toThrow("enough")

    expect(started[0]?.signal.aborted).toBe(true)
    const asked = flights.run("key", work, never)
    started[0]?.resolve("old")
    started[1]?.resolve("new")
    expect(await asked).toBe("new")
  })

  test("who has been aborted starts nothing", async () => {
    const { started, work } = workshop()

    await expect(new SingleFlight().run("key", work, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone")
    expect(started).toEqual([])
  })
})

describe("abortable()", () => {
  test("settles as the promise does", async () => {
    expect(await abortable(Promise.resolve(1), never)).toBe(1)
    await expect(abortable(Promise.reject(new Error("broken")), never)).rejects.toThrow("broken")
  })

  test("rejects at once with the signal's reason, and swallows what comes later", async () => {
    const { promise, reject } = Promise.withResolvers<void>()
    const abort = new AbortController()
    const waiting = abortable(promise, abort.signal)
    abort.abort(new Error("enough"))

    await expect(waiting).rejects.toThrow("enough")
    reject(new Error("late"))
  })

  test("swallows it also where the signal was aborted before", async () => {
    const { promise, reject } = Promise.withResolvers<void>()
    const unheard: unknown[] = []
    const listen = (reason: unknown) => void unheard.push(reason)
    process.on("unhandledRejection", listen)

    await expect(abortable(promise, AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough")
    reject(new Error("late"))
    await new Promise((resolve) => setTimeout(resolve))
    process.off("unhandledRejection", listen)
    expect(unheard).toEqual([])
  })
})
