import { describe, expect, test } from "bun:test"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { version } from "../../package.json" with { type: "json" }
import { fencesOf, ROOT, readPage } from "../helpers/markdown.ts"

const { scripts } = await Bun.file(join(ROOT, "package.json")).json()

describe("CONTRIBUTING.md", () => {
  const page = readPage("CONTRIBUTING.md")

  test("fits on a page", () => {
    expect(page.split("\n").length).toBeLessThan(80)
  })

  test("shows only scripts that there are", () => {
    const commands = fencesOf(page).flatMap(({ text }) => text.match(/^npx --yes bun .*$/gm) ?? [])
    const used = commands.map((command) => /bun (?:run (\S+)|(\S+))/.exec(command)?.slice(1).find(Boolean) ?? "")
    const own = used.filter((name) => !["install", "test"].includes(name))

    expect(used).toContain("test")
    expect(own.filter((name) => !(name in scripts))).toEqual([])
  })

  test("names only files that there are", () => {
    const named = [...page.matchAll(/`((?:test|docs|src|\.ci)\/[\w./-]+)`/g)].map(([, path = ""]) => path)

    expect(named.length).toBeGreaterThan(4)
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
  })
})

test("every dependency has its line in docs/decisions/dependencies.md", async () => {
  const { dependencies, devDependencies } = await Bun.file(join(ROOT, "package.json")).json()
  const [before = "", ...lines] = readPage("docs/decisions/dependencies.md").split("\n- ")
  const told = lines.flatMap((line) =>
    [...(line.split(":")[0]?.matchAll(/`([^`]+)`/g) ?? [])].map(([, name = ""]) => name),
  )
  // The packages of one project stand in one line, the first with its scope
  const isTold = (name: string) => told.some((one) => one === name || name === `@opentelemetry/${one}`)

  expect(before).toContain("One line each")
  expect(Object.keys({ ...dependencies, ...devDependencies }).filter((name) => !isTold(name))).toEqual([])
})

describe(".github", () => {
  const templates = readdirSync(join(ROOT, ".github/ISSUE_TEMPLATE"))

  test.each(templates)("offers %s by its name and what it is about", (name) => {
    const [, matter = ""] = /^---\n(.*?)\n---\n/s.exec(readPage(`.github/ISSUE_TEMPLATE/${name}`)) ?? []

    expect(Bun.YAML.parse(matter)).toEqual({ name: expect.stringMatching(/./), about: expect.stringMatching(/./) })
  })

  test("names only scripts and files that there are", () => {
    const text = [...templates.map((name) => `ISSUE_TEMPLATE/${name}`), "pull_request_template.md"]
      .map((name) => readPage(`.github/${name}`))
      .join("\n")
    const used = [...text.matchAll(/`bun run (\w+)`/g)].map(([, name = ""]) => name)
    const files = [...text.matchAll(/\b[A-Z]+\.md\b/g)].map(([file]) => file)

    expect(used.filter((name) => !(name in scripts))).toEqual([])
    expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([])
    expect([used.length, files.length].every((count) => count > 1)).toBe(true)
  })
})

describe("versions", () => {
  test("are the same everywhere", () => {
    const chart: unknown = Bun.YAML.parse(readPage("deploy/helm/registry-facade/Chart.yaml"))

    expect(chart).toMatchObject({ version, appVersion: version })
    expect(readPage("CHANGELOG.md")).toContain(version)
    expect(readPage("docs/install.md")).toContain(`registry-facade:${version}`)
  })
})
