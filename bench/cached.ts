import type { Contender, ContenderName } from "./contenders.ts"
import { type LoadResult, load } from "./load.ts"
import type { Material } from "./material.ts"
import { median } from "./median.ts"
import type { Plan } from "./plan.ts"
import type { ServerProcess } from "./server-process.ts"

export const WORKLOADS = ["small blobs", "manifests", "big blob", "small files", "large files"] as const
export type Workload = (typeof WORKLOADS)[number]

/** By workload and contender, one result per round. */
export type CachedResults = ReadonlyMap<Workload, ReadonlyMap<ContenderName, readonly LoadResult[]>>

/** Few at once for what is big: one stream is a pull, and more only shares the machine among them. */
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
    const loads = contenders
      .map((contender) => ({ name: contender.name, ...workOf(workload, contender, material) }))
      .filter(({ paths }) => paths.length > 0)
    const connections = workload.startsWith("small") || workload === "manifests" ? plan.connections : BIG_CONNECTIONS
    for (const { paths, process } of loads) await load(process, { paths, connections, seconds: plan.warmSeconds })
    for (let round = 0; round < plan.rounds; round += 1) {
      for (const { name, paths, process } of rotated(loads, round)) {
        const result = await load(process, { paths, connections, seconds: plan.loadSeconds })
        results.get(workload)?.get(name)?.push(result)
      }
    }
  }
  return results
}

interface Work {
  readonly process: ServerProcess
  /** Empty: it does not serve such things. */
  readonly paths: readonly string[]
}

function workOf(workload: Workload, { blobPath, files, manifestPath, process }: Contender, material: Material): Work {
  const { big, largeFiles, small, smallFiles } = material
  const inFiles = (names: readonly string[]): Work =>
    files === null ? { process, paths: [] } : { process: files.process, paths: names.map(files.path) }
  switch (workload) {
    case "small blobs":
      return { process, paths: small.map(({ digest }) => blobPath(digest)) }
    case "manifests":
      return { process, paths: [manifestPath] }
    case "big blob":
      return { process, paths: [blobPath(big.digest)] }
    case "small files":
      return inFiles(smallFiles)
    case "large files":
      return inFiles(largeFiles)
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
