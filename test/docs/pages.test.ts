import { describe, expect, test } from "bun:test"
import { existsSync, readdirSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { parse } from "jsonc-parser"
import { generatePage } from "../../docs/generate.ts"
import { loadConfig } from "../../src/config/load.ts"
import { fencesOf, ROOT, readPage } from "../helpers/markdown.ts"
import { tempDir } from "../helpers/temp-dir.ts"

describe("docs/configuration.md", () => {
  const page = readPage("docs/configuration.md")

  test("is what the schema says; write it again with: bun docs/generate.ts", () => {
    expect(page).toBe(generatePage(page))
  })
})

const pages = [
  ...readdirSync(ROOT),
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`),
].filter((name) => name.endsWith(".md"))

/** Configurations, and parts of them that stand alone; what is shortened by dots is left out. */
const configurations = readdirSync(join(ROOT, "docs"))
  .filter((name) => name.endsWith(".md"))
  .flatMap((name) => fencesOf(readPage(`docs/${name}`)).map((fence) => ({ name, ...fence })))
  .filter(({ language, text }) => /^jsonc?$/.test(language) && !text.includes("..."))
  .map(({ text, ...fence }) => ({ ...fence, parsed: parse(text.startsWith("{") ? text : `{${text}}`) }))
  .filter(({ parsed }) => "registry" in parsed || "blobserve" in parsed)

describe("configurations in docs", () => {
  test.each(configurations)("$name shows one that is valid under: $heading", async ({ parsed }) => {
    const file = join(tempDir(), "config.json")
    writeFileSync(file, JSON.stringify(parsed))

    expect(await loadConfig(file, { IPFS_HOST: "10.0.0.1" })).toMatchObject({ file })
  })

  test("are found on the pages that have some", () => {
    expect([...new Set(configurations.map(({ name }) => name))].sort()).toEqual([
      "blobserve.md",
      "configuration.md",
      "ipfs.md",
      "migrating.md",
      "specs.md",
      "tls-and-auth.md",
    ])
  })
})

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
