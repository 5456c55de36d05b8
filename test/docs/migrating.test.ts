import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { loadConfig } from "../../src/config/load.ts"
import { configSchema } from "../../src/config/schema.ts"
import { findProblems } from "../../src/lib/validate.ts"
import { declareAllMetrics } from "../../src/telemetry/all-metrics.ts"
import { fencesOf, ROOT, readPage } from "../helpers/markdown.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const page = readPage("docs/migrating.md")
const [example] = fencesOf(page).filter(({ language }) => language === "json")
const config = JSON.parse(example?.text ?? "")

/** Rows of the table that has this heading: the text of each cell. */
function rowsUnder(heading: string): readonly (readonly string[])[] {
  const [, after = ""] = page.split(`\n## ${heading}\n`)
  const rows = after.split("\n## ")[0]?.match(/^\|.*\|$/gm) ?? []
  return rows.slice(2).map((row) =>
    row
      .split("|")
      .map((cell) => cell.trim())
      .slice(1, -1),
  )
}

const codes = (text = ""): readonly string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code)

describe("docs/migrating.md", () => {
  test("shows a configuration of the original that is taken as it is", async () => {
    const file = join(tempDir(), "config.json")
    writeFileSync(file, example?.text ?? "")

    expect(await loadConfig(file, { IPFS_HOST: "10.0.0.1" })).toMatchObject({ file })
  })

  test("says of keys that they are refused, and they are", () => {
    const refused = rowsUnder("Configuration").filter(([, , now = ""]) => now.startsWith("refused"))

    expect(refused.length).toBeGreaterThan(2)
    for (const path of refused.flatMap(([keys]) => codes(keys))) {
      const [, section = "", key = ""] = path.split(".")
      const inner = { ...config.registry[section], [key]: "x" }
      const problems = findProblems(configSchema, { ...config, registry: { ...config.registry, [section]: inner } })
      expect([path, problems.length]).toEqual([path, 1])
    }
  })

  test("says of keys that they stay, and the schema has them", () => {
    const kept = rowsUnder("Configuration").filter(([, , now = ""]) => !now.startsWith("refused"))
    const schema = JSON.stringify(configSchema)

    expect(kept.length).toBeGreaterThan(6)
    for (const path of kept.flatMap(([keys]) => codes(keys))) {
      expect([path, schema.includes(`"${path.split(".").at(-1)?.replace("[]", "")}":`)]).toEqual([path, true])
    }
  })

  test("says which variables are read, and which are not", () => {
    const src = join(ROOT, "src")
    const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
    const source = files.map((file) => readFileSync(join(src, file), "utf8")).join("\n")

    expect(rowsUnder("Environment").length).toBeGreaterThan(5)
    for (const [names, now = ""] of rowsUnder("Environment")) {
      // Those for proxies are read in either case, by a name that is put together
      for (const name of codes(names).filter((name) => !name.endsWith("_PROXY"))) {
        expect([name, source.includes(name)]).toEqual([name, now.startsWith("as it was")])
      }
    }
  })

  test("names metrics that there are", async () => {
    const there = (await declareAllMetrics().registry.getMetricsAsJSON()).map(({ name }) => name)
    const told = rowsUnder("Metrics")
      .flatMap(([names]) => codes(names))
      .filter((name) => !name.endsWith("*"))

    expect(told.length).toBeGreaterThan(12)
    expect(told.filter((name) => !there.includes(name))).toEqual([])
  })
})
