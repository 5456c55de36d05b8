import { describe, expect, test } from "bun:test"
import { existsSync } from "node:fs"
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

describe("versions", () => {
  test("are the same everywhere", () => {
    const chart: unknown = Bun.YAML.parse(readPage("deploy/helm/registry-facade/Chart.yaml"))

    expect(chart).toMatchObject({ version, appVersion: version })
    expect(readPage("CHANGELOG.md")).toContain(version)
    expect(readPage("docs/install.md")).toContain(`registry-facade:${version}`)
  })
})
