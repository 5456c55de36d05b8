import { createRandom } from "./random.ts"

/** Everything that an upstream can do wrong; what each means is in `chaos-upstream.ts`. */
const TRANSPORT = [
  "rst-before",
  "rst",
  "fin-early",
  "short-length",
  "two-lengths",
  "chunk-cut",
  "last-chunk-missing",
  "close-delimited-cut",
  "garbage",
  "big-header",
  "many-1xx",
  "slow",
  "trickle",
  "no-answer",
  "stall",
  "half-close",
  "close-after",
] as const
const SEMANTIC = [
  "500",
  "502",
  "503",
  "504",
  "429-seconds",
  "429-date",
  "429-absurd",
  "401",
  "404",
  "403-signed-url",
  "416",
  "range-ignored",
  "range-lie",
  "multipart-range",
  "encoded",
  "html",
  "digest-header-lie",
  "redirect",
  "redirect-loop",
  "redirect-elsewhere",
  "redirect-to-file",
] as const
/** What cannot be the blob. */
export const BYTES = ["flip", "swap", "other-prefix", "zeros", "long"] as const

/** Answers that are final whoever asks: the client sees them, and the next one may fare better. */
export const VISIBLE: ReadonlySet<string> = new Set(["404", "redirect-to-file"])

export type Fault = (typeof TRANSPORT)[number] | (typeof SEMANTIC)[number] | (typeof BYTES)[number]

const ALL_FAULTS: readonly Fault[] = [...TRANSPORT, ...SEMANTIC, ...BYTES]

export interface PlannedFault {
  readonly fault: Fault
  /** Between 0 and 1: where in the body, how long, which bit. */
  readonly place: number
}

export interface FaultPlan {
  readonly seed: number
  /** Of requests that may fail, how many do; between 0 and 1. */
  readonly density: number
  /** After so many faults of one thing it works, so that what is only unlucky can be told from what never works. */
  readonly maxPerKey: number
  /** Of those, how many may be wrong bytes: two are enough to distrust a source. */
  readonly maxWrongPerKey: number
}

/** Everything that may go wrong with a thing, ever. */
export function plannedFaults(plan: FaultPlan, key: string): readonly PlannedFault[] {
  const attempts = Array.from({ length: plan.maxPerKey }, (_, attempt) => plannedFault(plan, key, attempt))
  return attempts.filter((fault) => fault !== null)
}

/**
 * What goes wrong with the n-th request for a thing. It depends on nothing but the seed, the thing and n, so however
 * requests interleave, a seed can be replayed.
 */
export function plannedFault(plan: FaultPlan, key: string, attempt: number): PlannedFault | null {
  let wrong = 0
  for (let past = 0; past <= attempt; past += 1) {
    const random = createRandom(plan.seed, key, past)
    const isFaulty = past < plan.maxPerKey && random.next() < plan.density
    const fault = random.pick(wrong < plan.maxWrongPerKey ? ALL_FAULTS : [...TRANSPORT, ...SEMANTIC])
    const isWrong = (BYTES as readonly string[]).includes(fault)
    if (isFaulty && isWrong) wrong += 1
    if (past === attempt) return isFaulty ? { fault, place: random.next() } : null
  }
  return null
}
