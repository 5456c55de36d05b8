import { describe, expect, test } from "bun:test"
import { retry } from "../../src/lib/retry.ts"
import { manualClock } from "../helpers/manual-clock.ts"

const policy = { attempts: 4, baseMs: 1, capMs: 1, random: () => 0 }

/** How often it was tried, when each wait is that long and the whole may take so long. */
async function attempts(waitMs: number, budgetMs?: number): Promise<number> {
  const clock = manualClock()
  let tried = 0
  let isOver = false
  const work = async () => {
    tried += 1
    throw new Error(`attempt ${tried}`)
  }
  const budget = budgetMs === undefined ? {} : { budgetMs }
  const result = retry(work, { ...policy, clock, waitMs: () => waitMs, ...budget }, new AbortController().signal)
  const over = result.catch(() => {
    isOver = true
  })
  while (!isOver) await clock.advance(waitMs + 1)
  await over
  return tried
}

describe("retry()", () => {
  test.each([
    ["no budget", 10_000, undefined, 4],
    ["a budget that all fit into", 1000, 60_000, 4],
    ["a budget that one wait fits into", 10_000, 15_000, 2],
    ["a budget that no wait fits into", 20_000, 15_000, 1],
  ])("with %s tries as often as it allows", async (_, waitMs, budgetMs, expected) => {
    expect(await attempts(waitMs, budgetMs)).toBe(expected)
  })
})
