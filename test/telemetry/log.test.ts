import { describe, expect, setSystemTime, test } from "bun:test"
import fc from "fast-check"
import { createLogger, type Fields, formatLine, requestLine } from "../../src/telemetry/log.ts"
import { RequestTally } from "../../src/telemetry/request-tally.ts"

function lineOf(fields: Fields, format: "json" | "text" = "json"): string {
  const lines: string[] = []
  createLogger({ format, version: "1", level: () => "info", write: (line) => void lines.push(line) }).warn("m", fields)
  return lines.join("")
}

describe("requestLine()", () => {
  test.each(["json", "text"] as const)("is the line that any other would be, in %s", (format) => {
    const path = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: "grapheme", maxLength: 400, size: "max" }),
      fc.string({ unit: "grapheme-ascii", minLength: 80, maxLength: 300, size: "max" }),
    )
    const number = fc.nat()
    const fields = fc.record({
      method: fc.constantFrom("GET", "HEAD", "M-SEARCH", '"'),
      path,
      status: number,
      bytes: number,
      ms: fc.nat().map((n) => n / 10),
    })
    fc.assert(
      fc.property(fields, fc.nat({ max: 3 }), (request, ms) => {
        const options = { format, version: "1" }
        expect(requestLine(options, request, ms)).toBe(formatLine(options, "info", "request", request, ms))
      }),
    )
  })

  test("tells of its version, also where another's lines have been made in the same millisecond", () => {
    const request = { method: "GET", path: "/", status: 200, bytes: 1, ms: 0.1 }
    const versions = ["1", "2", "1"].map(
      (version) => JSON.parse(requestLine({ format: "json", version }, request, 5)).serviceContext.version,
    )

    expect(versions).toEqual(["1", "2", "1"])
  })
})

describe("createLogger()", () => {
  test("errors are printed with their causes, at any depth", () => {
    const error = new Error("outer", { cause: new Error("inner") })

    expect(JSON.parse(lineOf({ error }))).toMatchObject({ message: "m", level: "warning", error: "outer: inner" })
    expect(JSON.parse(lineOf({ list: [{ error }] }))).toMatchObject({ list: [{ error: "outer: inner" }] })
  })

  test("K2: long texts are cut, at any depth, and big integers are printed", () => {
    const long = "x".repeat(10_000)
    const error = new Error(long)
    const line = JSON.parse(lineOf({ long, error, deep: { long, big: 2n ** 70n }, big: 2n ** 70n, nothing: null }))

    expect([line.long.length, line.deep.long.length, line.error.length]).toEqual([259, 259, 2051])
    expect([line.big, line.deep.big, line.nothing]).toEqual([String(2n ** 70n), String(2n ** 70n), null])
  })

  test("K2: of texts of several bytes a letter none is cut in two", () => {
    const line = JSON.parse(lineOf({ snowmen: `x${"\u2603".repeat(100)}`, fits: "\u2603".repeat(85) }))

    expect(line.snowmen).toBe(`x${"\u2603".repeat(85)}...`)
    expect(line.fits).toBe("\u2603".repeat(85))
  })

  test.each(["json", "text"] as const)("K2: one entry is one line of %s, whatever it holds", (format) => {
    const line = lineOf({ path: "a\nb\u001b[31m\u2028" }, format)

    expect(line.endsWith("\n")).toBe(true)
    expect([line.indexOf("\n"), line.includes("\u001b")]).toEqual([line.length - 1, false])
  })

  test("what happens on every request is made later, with the time at which it happened; trouble is told at once", () => {
    const lines: string[] = []
    const made: (() => string)[] = []
    const write = (line: string) => void lines.push(line)
    const writeLater = (line: () => string) => void made.push(line)
    const log = createLogger({ format: "json", version: "1", level: () => "info", write, writeLater })
    setSystemTime(1000)
    log.info("served", { bytes: 1 })
    log.warn("fails")
    setSystemTime(5000)
    lines.push(...made.map((make) => make()))
    setSystemTime()

    const [trouble, served] = lines.map((line) => JSON.parse(line))
    expect(trouble).toMatchObject({ message: "fails", time: "1970-01-01T00:00:01.000Z" })
    expect(served).toMatchObject({ message: "served", bytes: 1, time: "1970-01-01T00:00:01.000Z" })
  })

  test("K2: of one message ten a second are written, and then how many were left out", () => {
    const lines: Record<string, unknown>[] = []
    const time = { now: 0 }
    const timers: { readonly run: () => void; readonly ms: number }[] = []
    const write = (line: string) => void lines.push(JSON.parse(line))
    const later = (run: () => void, ms: number) => void timers.push({ run, ms })
    const now = () => time.now
    const log = createLogger({ format: "json", version: "1", level: () => "info", write, now, later })
    for (time.now = 0; time.now < 900; time.now += 30) log.error("fails", { at: time.now })
    log.error("breaks")
    log.info("fails")

    expect(lines.filter(({ message }) => message === "fails").map(({ at }) => at)).toEqual([
      ...Array.from({ length: 10 }, (_, index) => index * 30),
      undefined,
    ])
    expect(timers.map(({ ms }) => ms)).toEqual([700])
    timers[0]?.run()
    expect(lines.at(-1)).toMatchObject({ level: "error", message: "fails", repeated: 20 })
    time.now = 1000
    log.error("fails", { at: time.now })
    expect(lines.at(-1)).toMatchObject({ at: 1000 })
  })

  describe("requests that are like others of the same second", () => {
    function asked(level: "debug" | "info" | "warn", times: number) {
      const lines: Record<string, unknown>[] = []
      const timers: (() => void)[] = []
      const write = (line: string) => void lines.push(JSON.parse(line))
      const later = (run: () => void) => void timers.push(run)
      const log = createLogger({ format: "json", version: "1", level: () => level, write, later })
      const tally = new RequestTally({ method: "GET", path: "/a", status: 200, bytes: 3 })
      for (let ms = 1; ms <= times; ms += 1) log.sameRequest(tally, ms)
      const told = () => lines.splice(0).map(({ ms, repeated }) => [ms, repeated])
      return { lines, log, tally, timers, told }
    }
    const FIRST = Array.from({ length: 10 }, (_, index) => [index + 1, undefined])

    test("have ten lines of their own, and then one together, with the slowest", () => {
      const { lines, log, tally, timers, told } = asked("info", 50)

      expect(lines[0]).toMatchObject({ message: "request", method: "GET", path: "/a", status: 200, bytes: 3 })
      expect(told()).toEqual(FIRST)
      timers.shift()?.()
      expect(lines[0]).toMatchObject({ message: "request", method: "GET", path: "/a", status: 200, bytes: 3 })
      expect(told()).toEqual([[50, 40]])
      log.sameRequest(tally, 7)
      log.sameRequest(tally, 5)
      timers.shift()?.()
      expect(told()).toEqual([[7, 2]])
      expect(timers).toEqual([])
    })

    test("are told at the end, once", () => {
      const { log, timers, told } = asked("info", 12)
      log.tellRest()
      log.tellRest()
      for (const run of timers) run()

      expect(told()).toEqual([...FIRST, [12, 2]])
    })

    test("are all told at level debug, and none above info", () => {
      expect(asked("debug", 30).told()).toEqual(Array.from({ length: 30 }, (_, index) => [index + 1, undefined]))
      expect(asked("warn", 30)).toMatchObject({ lines: [], timers: [] })
    })
  })

  describe("the same trouble of the same cause", () => {
    function logged(level: "debug" | "info") {
      const lines: Record<string, unknown>[] = []
      const time = { now: 0 }
      const write = (line: string) => void lines.push(JSON.parse(line))
      const log = createLogger({ format: "json", version: "1", level: () => level, write, now: () => time.now })
      return { lines, time, log }
    }

    test("is told once a minute, with how often it was left out", () => {
      const { lines, log, time } = logged("info")
      for (time.now = 0; time.now < 120_000; time.now += 1000) log.warn("fails", { at: time.now }, "a.io")

      expect(lines.map(({ at, repeated }) => [at, repeated])).toEqual([
        [0, undefined],
        [60_000, 59],
      ])
    })

    test("hides neither other causes, nor other messages, nor what has no cause", () => {
      const { lines, log } = logged("info")
      log.error("fails", {}, "a.io")
      log.error("fails", {}, "b.io")
      log.error("breaks", {}, "a.io")
      log.error("fails")
      log.error("fails")

      expect(lines).toHaveLength(5)
    })

    test("is told every time at level debug", () => {
      const { lines, log } = logged("debug")
      for (let count = 0; count < 3; count += 1) log.warn("fails", {}, "a.io")

      expect(lines).toHaveLength(3)
    })

    test("takes little memory, however many causes there are", () => {
      const { lines, log } = logged("info")
      for (let count = 0; count < 2000; count += 1) log.warn("fails", {}, `${count}.io`)
      log.warn("fails", {}, "0.io")
      log.warn("fails", {}, "1999.io")

      expect(lines).toHaveLength(2001)
    })
  })
})
