import { describe, expect, test } from "bun:test"
import { createLogger, type Fields } from "../../src/telemetry/log.ts"

function lineOf(fields: Fields, format: "json" | "text" = "json"): string {
  const lines: string[] = []
  createLogger({ format, version: "1", level: () => "info", write: (line) => void lines.push(line) }).warn("m", fields)
  return lines.join("")
}

describe("createLogger()", () => {
  test("errors are printed with their causes, at any depth", () => {
    const error = new Error("outer", { cause: new Error("inner") })

    expect(JSON.parse(lineOf({ error }))).toMatchObject({ message: "m", level: "warning", error: "outer: inner" })
    expect(JSON.parse(lineOf({ list: [{ error }] }))).toMatchObject({ list: [{ error: "outer: inner" }] })
  })

  test("long texts are cut, at any depth, and big integers are printed", () => {
    const long = "x".repeat(10_000)
    const line = JSON.parse(lineOf({ long, deep: { long, big: 2n ** 70n }, big: 2n ** 70n, nothing: null }))

    expect([line.long.length, line.deep.long.length]).toEqual([2051, 2051])
    expect([line.big, line.deep.big, line.nothing]).toEqual([String(2n ** 70n), String(2n ** 70n), null])
  })

  test.each(["json", "text"] as const)("one entry is one line of %s, whatever it holds", (format) => {
    const line = lineOf({ path: "a\nb\u001b[31m\u2028" }, format)

    expect(line.endsWith("\n")).toBe(true)
    expect([line.indexOf("\n"), line.includes("\u001b")]).toEqual([line.length - 1, false])
  })
})
