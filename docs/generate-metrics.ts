import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { declareAllMetrics } from "../src/telemetry/all-metrics.ts"

/** Writes the tables of metrics.md from the metrics themselves: `bun docs/generate-metrics.ts`. */
const PAGE = join(import.meta.dir, "metrics.md")
const BEGIN = "<!-- From here on written by docs/generate-metrics.ts -->"

export interface DescribedMetric {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly labels: readonly string[]
  readonly buckets: readonly number[]
}

interface Group {
  readonly title: string
  readonly isMember: (name: string) => boolean
}

const GROUPS: readonly Group[] = [
  { title: "Of registry-facade", isMember: (name) => name.startsWith("registry_facade_") },
  {
    title: "By the names of Gitpod's registry-facade",
    isMember: (name) => name.startsWith("gitpod_") || name.startsWith("grpc_"),
  },
  { title: "Of the process", isMember: (name) => name.startsWith("process_") || name.startsWith("go_") },
]

/** Every metric that a process can have, by name. */
export function describeMetrics(): readonly DescribedMetric[] {
  const { registry } = declareAllMetrics()
  const metrics = registry.getMetricsAsArray().map((metric) => {
    const { name, help, type, labelNames, buckets, upperBounds } = metric as unknown as Declared
    return { name, help, type: String(type), labels: labelNames, buckets: upperBounds ?? buckets ?? [] }
  })
  return metrics.toSorted((one, other) => (one.name < other.name ? -1 : 1))
}

/** What prom-client keeps of a metric beyond what its types tell. */
interface Declared {
  readonly name: string
  readonly help: string
  readonly type: unknown
  readonly labelNames: readonly string[]
  readonly buckets?: readonly number[]
  readonly upperBounds?: readonly number[]
}

/** The page with its tables as they should be; what people wrote above them stays. */
export function generateMetricsPage(page: string): string {
  const metrics = describeMetrics()
  const tables = GROUPS.map(({ title, isMember }) => {
    const rows = metrics.filter(({ name }) => isMember(name)).map(rowOf)
    return `## ${title}\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n${rows.join("")}`
  })
  return `${page.split(BEGIN)[0]}${BEGIN}\n\n${tables.join("\n")}`
}

function rowOf({ name, type, labels, help, buckets }: DescribedMetric): string {
  const bounds = buckets.length === 0 ? "" : ` Buckets: ${buckets.join(", ")}.`
  return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help}.${bounds} |\n`
}

if (import.meta.main) {
  writeFileSync(PAGE, generateMetricsPage(readFileSync(PAGE, "utf8")))
  process.stdout.write(`Written: ${PAGE}\n`)
}
