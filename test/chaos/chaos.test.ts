import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { MUTANTS } from "./mutants.ts"
import { runChaos } from "./run-chaos.ts"

const OPS = 20_000
const LIMIT_MS = 240_000

/** A new seed every day, so that runs add up; `bun run chaos -- --seed S --ops N` replays one. */
const seed = Math.floor(Date.now() / 86_400_000)

test(
  `${OPS} pulls through every fault give the truth or nothing (seed ${seed})`,
  async () => {
    const { tally, upstream, violations } = await runChaos({ seed, ops: OPS })

    expect(violations).toEqual([])
    expect(tally.pulls).toBe(OPS)
    expect(upstream.faults).toBeGreaterThanOrEqual(OPS)
    expect(upstream.byFault.size).toBeGreaterThanOrEqual(40)
  },
  LIMIT_MS,
)

test(
  "one transfer per blob, of no more bytes than it has, when the disk is well",
  async () => {
    const { violations } = await runChaos({ seed: seed + 1, ops: 1500, diskFaults: 0 })

    expect(violations).toEqual([])
  },
  LIMIT_MS,
)

test("every mutant stands exactly once in the sources", () => {
  const counts = MUTANTS.map(({ name, file, from }) => {
    const text = readFileSync(join(import.meta.dir, "../../src", file), "utf8")
    return [name, text.split(from).length - 1]
  })

  expect(counts.filter(([, count]) => count !== 1)).toEqual([])
  expect(MUTANTS.length).toBeGreaterThanOrEqual(20)
})
