import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import { join } from "node:path"
import { run } from "../test/helpers/programs.ts"
import { BINARY } from "./contenders.ts"

const FILE = join(import.meta.dir, "../docs/benchmarks.md")
const BEGIN = "<!-- figures: written by bun run bench -->"
const END = "<!-- end of figures -->"

/** Puts the figures into docs/benchmarks.md; what people have written around them stays. */
export function writeDocument(figures: string): void {
  const text = existsSync(FILE) ? readFileSync(FILE, "utf8") : `# Benchmarks\n\n${BEGIN}\n${END}\n`
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (begin === -1 || end < begin) throw new Error(`Cannot write ${FILE}: its marks for the figures are gone`)
  writeFileSync(FILE, `${text.slice(0, begin + BEGIN.length)}\n\n${figures}\n\n${text.slice(end)}`)
}

/** What the figures were measured on and with. `wakefulness` is that of its CPUs. */
export async function describeMachine(wakefulness: string): Promise<string> {
  const [first] = cpus()
  const said = async (command: readonly string[]) => {
    const { stderr, stdout } = await run(command)
    return `${stdout}${stderr}`.trim().split("\n")[0] ?? ""
  }
  const lines = [
    `Date: ${new Date().toISOString().slice(0, 10)}`,
    `Machine: ${cpus().length} x ${first?.model ?? "unknown"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`,
    `CPUs: ${wakefulness}`,
    `Facade: ${await said([BINARY, "version"])}`,
    `nginx: ${(await said(["nginx", "-v"])).replace(/^.*nginx\//, "")} (Debian, one worker)`,
    `docker-registry: ${(await said(["docker-registry", "--version"])).replace(/^\S+ \S+ /, "")} (Debian)`,
    `wrk: ${(await said(["wrk", "-v"])).replace(/ Copyright.*$/, "").replace(/^wrk /, "")}`,
  ]
  return lines.map((line) => `- ${line}`).join("\n")
}
