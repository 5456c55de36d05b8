import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { ROOT, readPage } from "../helpers/markdown.ts"

const page = readPage("docs/running.md")
const SRC = join(ROOT, "src")

describe("docs/running.md", () => {
  test("tells of every warning and error that is logged", () => {
    const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
    const messages = files.flatMap((file) =>
      [...readFileSync(join(SRC, file), "utf8").matchAll(/\blog\.(?:warn|error)\(\s*(["'])(.*?)\1/g)].map(
        ([, , message = ""]) => message,
      ),
    )

    expect(messages.length).toBeGreaterThan(10)
    expect([...new Set(messages)].filter((message) => !page.includes(`\`${message}\``))).toEqual([])
  })

  test("tells of every word that errors have as their detail", () => {
    const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
    const words = files.flatMap((file) =>
      [...readFileSync(join(SRC, file), "utf8").matchAll(/\bdetail: "(\w+)"/g)].map(([, word = ""]) => word),
    )

    expect(words.length).toBeGreaterThan(5)
    expect([...new Set(words)].filter((word) => !page.includes(`| \`${word}\` |`))).toEqual([])
  })

  test("tells what to do about every alert", () => {
    const rules: unknown = Bun.YAML.parse(readPage("deploy/prometheus/alerts.yaml"))
    const alerts = [...JSON.stringify(rules).matchAll(/"alert":"(\w+)"/g)].map(([, name = ""]) => name)

    expect(alerts.length).toBeGreaterThan(10)
    expect(alerts.filter((name) => !page.includes(`| \`${name}\` | `))).toEqual([])
  })
})
