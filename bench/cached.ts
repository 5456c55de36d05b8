import type { Contender, ContenderName } from "./contenders.ts"
import { type LoadResult, load } from "./load.ts"
import type { Material } from "./material.ts"
import { median } from "./median.ts"
import type { Plan } from "./plan.ts"

export const WORKLOADS = ["small blobs", "manifests", "big blob"] as const
export type Workload = (typeof WORKLOADS)[number]

/** By workload and contender, one result per round. */
export type CachedResults = ReadonlyMap<Workload, ReadonlyMap<ContenderName, readonly LoadResult[]>>

/** Few at once for the big blob: one stream is a pull, and more only shares the machine among them. */
const BIG_CONNECTIONS = 2

/** Loads one contender after the other, in rounds, so that what disturbs the machine disturbs all of them. */
export async function measureCached(
  contenders: readonly Contender[],
  material: Material,
  plan: Plan,
): Promise<CachedResults> {
  const results = new Map(
    WORKLOADS.map((workload) => [workload, new Map(contenders.map(({ name }) => [name, [] as LoadResult[]]))]),
  )
  for (const workload of WORKLOADS) {
    for (const contender of contenders) {
      await load(contender.process, { ...loadOf(workload, contender, material, plan), seconds: plan.warmSeconds })
    }
    for (let round = 0; round < plan.rounds; round += 1) {
      for (const contender of rotated(contenders, round)) {
        const result = await load(contender.process, loadOf(workload, contender, material, plan))
        results.get(workload)?.get(contender.name)?.push(result)
      }
    }
  }
  return results
}

function loadOf(workload: Workload, { blobPath, manifestPath }: Contender, { big, small }: Material, plan: Plan) {
  const { connections, loadSeconds: seconds } = plan
  switch (workload) {
    case "small blobs":
      return { paths: small.map(({ digest }) => blobPath(digest)), connections, seconds }
    case "manifests":
      return { paths: [manifestPath], connections, seconds }
    case "big blob":
      return { paths: [blobPath(big.digest)], connections: BIG_CONNECTIONS, seconds }
    default:
      return workload satisfies never
  }
}

const rotated = <Item>(items: readonly Item[], by: number): readonly Item[] =>
  items.map((_, index) => items[(index + by) % items.length]).filter((item) => item !== undefined)

/** The median over the rounds. */
export function figure(results: CachedResults, workload: Workload, name: ContenderName, key: keyof LoadResult): number {
  return median((results.get(workload)?.get(name) ?? []).map((result) => result[key]))
}

/** The facade as a multiple of another: the median of the ratios within each round. */
export function ratio(results: CachedResults, workload: Workload, other: ContenderName, key: keyof LoadResult): number {
  const ours = results.get(workload)?.get("facade") ?? []
  const theirs = results.get(workload)?.get(other) ?? []
  return median(ours.map((result, round) => result[key] / (theirs[round]?.[key] ?? Number.NaN)))
}
