import { describe, expect, test } from "bun:test"
import { parseDuration } from "../../src/lib/duration.ts"

describe("parseDuration()", () => {
  test.each([
    ["0", 0],
    ["0s", 0],
    ["5s", 5000],
    ["1m30s", 90_000],
    ["1h2m3s4ms", 3_723_004],
    ["250ms", 250],
    ["1.5h", 5_400_000],
    [".5s", 500],
    ["1.s", 1000],
    ["1500us", 1.5],
    ["1500µs", 1.5],
    ["1500μs", 1.5],
    ["2000000ns", 2],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 9)
  })

  test.each(["", "5", "s", "5 s", "-5s", "+5s", "5d", "1h-5m", "five", "1e3s", "5S", "5s ", "."])(
    "refuses %j and says what it expects",
    (text) => {
      expect(() => parseDuration(text)).toThrow(
        `Cannot parse duration ${JSON.stringify(text)}: expected something like "90s" or "1m30s"`,
      )
    },
  )

  test("refuses what is no finite number of milliseconds", () => {
    expect(() => parseDuration(`${"9".repeat(400)}h`)).toThrow(TypeError)
  })
})
