import type { RegistryConfig, SpecProviderConfig } from "../config/load.ts"
import type { Egress } from "../egress/egress.ts"
import { FixedSpecProvider } from "../spec/fixed.ts"
import { GrpcSpecSource } from "../spec/grpc.ts"
import { HttpSpecSource } from "../spec/http.ts"
import { RemoteSpecProvider } from "../spec/remote.ts"
import type { SpecSource } from "../spec/spec-source.ts"
import type { Conditions } from "../telemetry/readiness.ts"
import type { Tools } from "./tools.ts"

/** The specs of a file. Null: there is none. Rejects with what people have to correct. */
export async function openFixedSpecs(
  { fixedSpecs }: RegistryConfig,
  { log, metrics, tuning: { clock } }: Tools,
): Promise<FixedSpecProvider | null> {
  return fixedSpecs === null ? null : await FixedSpecProvider.create({ path: fixedSpecs, clock, log, metrics })
}

/** Who is asked for specs elsewhere. */
export interface RemoteSpecs {
  /** Null: nobody. */
  readonly provider: RemoteSpecProvider | null
  /** By what the configuration says of them. */
  readonly sources: ReadonlyMap<string, SpecSource>
}

interface Beside {
  readonly egress: Egress
  readonly readiness: Conditions
  /** Those before a change: whoever is in both stays connected. */
  readonly earlier: RemoteSpecs | null
}

/** Rejects with what people have to correct. */
export function openRemoteSpecs(
  { specProviders }: RegistryConfig,
  { earlier, egress, readiness }: Beside,
  tools: Tools,
): RemoteSpecs {
  const { clock, specs: policy } = tools.tuning
  const sources = new Map<string, SpecSource>()
  const open = (config: SpecProviderConfig) => {
    const key = JSON.stringify(config)
    const kept = config.kind === "grpc" ? earlier?.sources.get(key) : undefined // another has nothing to be kept
    sources.set(key, sources.get(key) ?? kept ?? openSource(config, egress, tools))
  }
  try {
    for (const config of specProviders) open(config)
  } catch (error) {
    for (const source of opened({ sources }, earlier)) source.close()
    throw error
  }
  const all = [...sources.values()]
  const options = { sources: all, policy, clock, log: tools.log, readiness, earlier: earlier?.provider ?? null }
  return { provider: all.length === 0 ? null : new RemoteSpecProvider(options), sources }
}

/** Those of `specs` that `others` have not. */
function opened({ sources }: Pick<RemoteSpecs, "sources">, others: RemoteSpecs | null): readonly SpecSource[] {
  const shared = new Set(others?.sources.values())
  return [...sources.values()].filter((source) => !shared.has(source))
}

function openSource(provider: SpecProviderConfig, egress: Egress, { log, metrics, tuning }: Tools): SpecSource {
  const { clock, specs } = tuning
  if (provider.kind === "grpc")
    return new GrpcSpecSource({ ...provider, attemptsMs: specs.attemptsMs, log, metrics: metrics.grpc })
  const patienceMs = specs.attemptsMs.reduce((sum, attemptMs) => sum + attemptMs, 0)
  return new HttpSpecSource({ url: provider.url, egress, clock, patienceMs })
}
