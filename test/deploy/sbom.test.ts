import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { readPackages } from "../../deploy/packages.ts"
import { makeSbom, writeSbom } from "../../deploy/sbom.ts"
import { generateLicences } from "../../docs/generate-licences.ts"
import { ROOT, readPage } from "../helpers/markdown.ts"
import { tempDir } from "../helpers/temp-dir.ts"

interface Sbom {
  readonly bomFormat: string
  readonly specVersion: string
  readonly metadata: { readonly component: { readonly "bom-ref": string; readonly version: string } }
  readonly components: readonly {
    readonly "bom-ref": string
    readonly group?: string
    readonly name: string
    readonly version: string
    readonly purl: string
    readonly licenses: readonly unknown[]
    readonly hashes?: readonly { readonly alg: string; readonly content: string }[]
  }[]
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[]
}

const sbom: Sbom = JSON.parse(makeSbom({ version: "1.2.3", commit: "abc" }))
const refs = sbom.components.map((component) => component["bom-ref"])
const { program, development } = readPackages(ROOT)

describe("the bill of materials", () => {
  test("is CycloneDX of this program", async () => {
    const file = join(tempDir(), "sbom.json")
    await writeSbom(file, { version: "1.2.3", commit: "abc" })

    expect(sbom).toMatchObject({ bomFormat: "CycloneDX", specVersion: "1.6" })
    expect(sbom.metadata.component).toMatchObject({ "bom-ref": "registry-facade@1.2.3", version: "1.2.3" })
    expect(readFileSync(file, "utf8")).toBe(makeSbom({ version: "1.2.3", commit: "abc" }))
  })

  test("has every package that a source of the program imports, and Bun", () => {
    const src = join(ROOT, "src")
    const files = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
    const imported = files.flatMap((file) =>
      [...readFileSync(join(src, file), "utf8").matchAll(/(?:from|import\() ?"((?:@[^/"]+\/)?[^./"][^/"]*)/g)].map(
        ([, name = ""]) => name,
      ),
    )
    const wanted = [...new Set(imported)].filter((name) => !/^(?:node|bun):|^bun$/.test(name))
    const names = sbom.components.map(({ group, name }) => (group === undefined ? name : `${group}/${name}`))

    expect(wanted.length).toBeGreaterThan(8)
    expect(wanted.filter((name) => !names.includes(name))).toEqual([])
    expect(refs).toContain(`pkg:npm/bun@${Bun.version}`)
  })

  test("has nothing that only builds and tests", () => {
    const names = sbom.components.map(({ name }) => name)

    for (const name of ["typescript", "fast-check", "ajv", "biome"]) expect(names).not.toContain(name)
  })

  test("names each package once, with version, licence and digest", () => {
    expect(new Set(refs).size).toBe(refs.length)
    for (const { purl, version, name, licenses, hashes } of sbom.components) {
      expect(purl).toMatch(/^pkg:npm\/(?:%40[^/@]+\/)?[^/@]+@[^@]+$/)
      expect(purl.endsWith(`${name}@${version}`)).toBe(true)
      expect([name, licenses.length]).toEqual([name, 1])
      if (name !== "bun") expect([name, hashes?.[0]?.content]).toEqual([name, expect.stringMatching(/^[0-9a-f]{128}$/)])
    }
  })

  test("tells what needs what, and everything is needed by something", () => {
    const needed = new Set(sbom.dependencies.flatMap(({ dependsOn }) => dependsOn))

    expect(sbom.dependencies.map(({ ref }) => ref).sort()).toEqual(
      ["registry-facade@1.2.3", ...refs.filter((ref) => !ref.startsWith("pkg:npm/bun@"))].sort(),
    )
    expect([...needed].filter((ref) => !refs.includes(ref))).toEqual([])
    expect(refs.filter((ref) => !needed.has(ref))).toEqual([])
  })
})

describe("docs/licences.md", () => {
  test("is what the lockfile says; write it again with: bun docs/generate-licences.ts", () => {
    expect(readPage("docs/licences.md")).toBe(generateLicences())
  })

  /** Those that ask for nothing but to be named and passed on. Another one is a decision of people. */
  const ALLOWED = /^\(?(?:MIT|ISC|0BSD|Apache-2\.0|BSD-[23]-Clause|BlueOak-1\.0\.0|CC0-1\.0|Unlicense)\)?$/

  test("tells of licences alone that the program may be passed on under", () => {
    const wrong = program.filter(({ licence }) => {
      const choices = licence.split(" OR ")
      return !choices.some((choice) => choice.split(" AND ").every((part) => ALLOWED.test(part)))
    })

    expect(wrong.map(({ name, licence }) => [name, licence])).toEqual([])
  })

  test("tells of no package as unknown", () => {
    expect([...program, ...development].filter(({ licence }) => /unknown|SEE LICEN/i.test(licence))).toEqual([])
  })
})
