import { expect, test } from "bun:test"
import { join } from "node:path"
import { MUTANTS } from "./mutants.ts"

/** All run at once, each with up to three seeds; some bugs show themselves in one run of two. */
const LIMIT_MS = 400_000
const SEEDS = ["21", "22", "23"]

/** Runs the sources with a bug in them; true when the run has noticed. */
async function isFound(name: string, seed: string, disk: number | undefined): Promise<boolean> {
  const options = [
    "--seed",
    seed,
    "--ops",
    "3000",
    "--impatient",
    ...(disk === undefined ? [] : ["--disk-faults", String(disk)]),
  ]
  const command = [process.execPath, "--preload", "./test/chaos/plant-mutant.ts", "test/chaos/main.ts", ...options]
  const child = Bun.spawn(command, {
    cwd: join(import.meta.dir, "../.."),
    env: { ...process.env, CHAOS_MUTANT: name },
    stdout: "ignore",
    stderr: "ignore",
  })
  return (await child.exited) !== 0
}

test.concurrent.each(MUTANTS)(
  "a run notices that $name",
  async ({ name, disk }) => {
    let found = false
    for (const seed of SEEDS) found ||= await isFound(name, seed, disk)

    expect(found).toBe(true)
  },
  LIMIT_MS,
)
