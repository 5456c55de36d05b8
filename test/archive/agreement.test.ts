import { describe, expect, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { ArchiveError } from "../../src/archive/archive-error.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { type Found, readMembers } from "./read-members.ts"
import { mutated, sampleArchives } from "./sample-archives.ts"

/** Archives that were changed at random: what we accept, the two readers that people trust must read in the same way. */
const ROUNDS = 1500
const GNU_ROUNDS = 150

const dir = tempDir()
const python = Bun.which("python3")
const gnuTar = Bun.which("tar")

/** Null: refused. */
function ours(bytes: Uint8Array): readonly Found[] | null {
  try {
    return readMembers(bytes)
  } catch (error) {
    if (error instanceof ArchiveError) return null
    throw error
  }
}

async function pythons(paths: readonly string[]): Promise<readonly (readonly Found[] | null)[]> {
  const child = Bun.spawn([python ?? "", join(import.meta.dir, "read-archive.py")], {
    stdin: new Blob([paths.map((path) => `${path}\n`).join("")]),
    stdout: "pipe",
  })
  const lines = (await new Response(child.stdout).text()).trimEnd().split("\n")
  return lines.map((line) => JSON.parse(line).members ?? null)
}

/** Names in order, and all contents one after the other. Null: it complains. */
async function gnu(path: string): Promise<{ readonly names: readonly string[]; readonly sha256: string } | null> {
  const env = { ...process.env, LC_ALL: "C" }
  const list = Bun.spawnSync([gnuTar ?? "", "-P", "--quoting-style=escape", "-tf", path], { env })
  const content = Bun.spawnSync([gnuTar ?? "", "-P", "-xOf", path], { env })
  if (list.exitCode !== 0) return null
  const names = list.stdout.toString("latin1").split("\n").slice(0, -1).map(unescaped)
  return { names, sha256: new Bun.CryptoHasher("sha256").update(content.stdout).digest("hex") }
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", a: "\x07", b: "\b", f: "\f", v: "\v" }

const unescaped = (text: string): string =>
  text
    .replace(/\\(?:([0-7]{3})|(.))/g, (_, octal, letter) =>
      octal === undefined ? (ESCAPES[letter] ?? letter) : String.fromCharCode(Number.parseInt(octal, 8)),
    )
    .replace(/\/+$/, "")

describe.skipIf(python === null || gnuTar === null)("agreement with other readers", () => {
  const samples = sampleArchives()

  test("archives that are in order are accepted, and read as by GNU tar and Python", async () => {
    const paths = samples.map(({ name, bytes }) => {
      const path = join(dir, `${name}.tar`)
      writeFileSync(path, bytes)
      return path
    })
    const theirs = await pythons(paths)
    for (const [index, { name, bytes }] of samples.entries()) {
      const found = ours(bytes)
      expect({ name, found }).toEqual({ name, found: theirs[index] ?? null })
      expect((await gnu(paths[index] ?? ""))?.names).toEqual(found?.map((member) => member.name))
    }
  }, 30_000)

  test("what is accepted of damaged archives is what the others read", async () => {
    mkdirSync(join(dir, "mutants"))
    const mutants = Array.from({ length: ROUNDS }, (_, seed) => mutated(samples, seed))
    const accepted = mutants.flatMap(({ bytes, how }, seed) => {
      const found = ours(bytes)
      if (found === null) return []
      const path = join(dir, "mutants", `${seed}.tar`)
      writeFileSync(path, bytes)
      return [{ how, seed, found, path }]
    })
    const theirs = await pythons(accepted.map(({ path }) => path))
    const different = accepted.filter(({ found }, index) => !Bun.deepEquals(found, theirs[index]))
    expect(different.map(({ how, seed, found }) => ({ how, seed, found: found.length }))).toEqual([])
    expect(accepted.length).toBeGreaterThan(ROUNDS / 20)
    for (const { how, seed, found, path } of accepted.slice(0, GNU_ROUNDS)) {
      const gnus = await gnu(path)
      expect({ how, seed, names: gnus?.names }).toEqual({ how, seed, names: found.map(({ name }) => name) })
    }
  }, 120_000)
})
