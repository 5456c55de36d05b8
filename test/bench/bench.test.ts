import { expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { median } from "../../bench/median.ts"
import { needs, run } from "../helpers/programs.ts"

setDefaultTimeout(90_000)

const ROOT = join(import.meta.dir, "../..")
const DOCUMENT = join(ROOT, "docs/benchmarks.md")

const required = needs("nginx", "docker-registry", "wrk", "curl")

test.skipIf(required.isMissing)(
  `the benchmark measures every figure, and a quick run writes nothing${required.note}`,
  async () => {
    const before = existsSync(DOCUMENT) ? readFileSync(DOCUMENT, "utf8") : null
    const { code, stderr, stdout } = await run([process.execPath, join(ROOT, "bench/main.ts"), "--quick"])
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("bench: ") })
    const rows = stdout
      .trim()
      .split("\n")
      .slice(2)
      .map((line) => line.split("|").map((cell) => cell.trim()))
    const figures = rows.map(([, what, facade]) => [what, facade])
    expect(figures.filter(([, facade]) => !/^\d[\d,.]*( MiB| ms)?$/.test(facade ?? ""))).toEqual([])
    expect(stdout).not.toMatch(/NaN|Infinity/)
    const herd = figures.filter(([what]) => what?.includes("clients on one cold blob")).map(([, facade]) => facade)
    expect(herd).toEqual(["1", "1.00"])
    expect(existsSync(DOCUMENT) ? readFileSync(DOCUMENT, "utf8") : null).toBe(before)
  },
)

test("the benchmark says what is wrong with its arguments", async () => {
  const { code, stderr } = await run([process.execPath, join(ROOT, "bench/main.ts"), "--fast"])
  expect([code, stderr]).toEqual([2, "bench: unknown argument --fast, known is --quick\n"])
})

test("the median is the middle, or between the two in the middle", () => {
  expect([median([3, 1, 2]), median([4, 1, 2, 3]), median([7])]).toEqual([2, 2.5, 7])
  expect(() => median([])).toThrow(RangeError)
})
