import { describe, expect, test } from "bun:test"
import { existsSync, readdirSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { generatePage } from "../../docs/generate.ts"
import { loadConfig } from "../../src/config/load.ts"
import { fencesOf, ROOT, readPage } from "../helpers/markdown.ts"
import { tempDir } from "../helpers/temp-dir.ts"

describe("docs/configuration.md", () => {
  const page = readPage("docs/configuration.md")

  test("is what the schema says; write it again with: bun docs/generate.ts", () => {
    expect(page).toBe(generatePage(page))
  })

  test.each(fencesOf(page).filter(({ language }) => language === "json"))(
    "shows a file that is valid under: $heading",
    async ({ text }) => {
      const file = join(tempDir(), "config.json")
      writeFileSync(file, text)

      expect(await loadConfig(file)).toMatchObject({ file })
    },
  )
})

const pages = [
  ...readdirSync(ROOT),
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`),
].filter((name) => name.endsWith(".md"))

describe("links", () => {
  test.each(pages)("of %s lead somewhere", (name) => {
    const page = readPage(name).replace(/^```.*?^```/gms, "")
    const targets = [...page.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target)
    const local = targets.filter((target) => !/^https?:/.test(target))
    const broken = local.filter((target) => {
      const [path = "", anchor] = target.split("#")
      const file = path === "" ? name : join(dirname(name), path)
      if (!existsSync(resolve(ROOT, file))) return true
      return anchor !== undefined && !anchorsOf(readPage(file)).includes(anchor)
    })

    expect(broken).toEqual([])
  })
})

/** As GitHub makes them of headings. */
const anchorsOf = (page: string): readonly string[] =>
  [...page.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  )
