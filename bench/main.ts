import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findProgram } from "../test/helpers/programs.ts"
import { BINARY } from "./contenders.ts"
import { describeMachine, writeDocument } from "./document.ts"
import { measureAll } from "./measure.ts"
import { FULL, QUICK } from "./plan.ts"
import { rows, table } from "./report.ts"
import { keepAwake } from "./wakefulness.ts"

/**
 * Measures the compiled facade beside nginx and docker-registry, prints a table, and writes it into docs/benchmarks.md.
 * `--quick` measures everything once, too short to mean anything, and writes nothing.
 */
const PROGRAMS = { nginx: "nginx-light", "docker-registry": "docker-registry", wrk: "wrk", curl: "curl" } as const

async function main(args: readonly string[]): Promise<number> {
  const isQuick = args.includes("--quick")
  const unknown = args.find((argument) => argument !== "--quick")
  if (unknown !== undefined) return complain(`unknown argument ${unknown}, known is --quick`)
  const missing = Object.entries(PROGRAMS).filter(([program]) => findProgram(program) === null)
  if (missing.length > 0)
    return complain(`missing programs, get them with: apt-get install ${missing.map(([, name]) => name).join(" ")}`)
  if (!existsSync(BINARY)) return complain("missing binary, run: bun run build")
  const plan = isQuick ? QUICK : FULL
  const deadline = setTimeout(() => process.exit(complain("took too long and was stopped")), plan.deadlineMs)
  const work = mkdtempSync(join(tmpdir(), "registry-facade-bench-"))
  process.on("exit", () => rmSync(work, { recursive: true, force: true }))
  const wakefulness = isQuick ? null : keepAwake()
  const figures = table(rows(await measureAll(work, plan, say)))
  clearTimeout(deadline)
  console.log(figures)
  if (wakefulness !== null) writeDocument(`${await describeMachine(wakefulness)}\n\n${figures}`)
  return 0
}

function say(text: string): void {
  console.error(`bench: ${text} (after ${Math.round(performance.now() / 1000)} s)`)
}

function complain(message: string): number {
  console.error(`bench: ${message}`)
  return 2
}

for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => process.exit(130))
process.exit(await main(process.argv.slice(2)))
