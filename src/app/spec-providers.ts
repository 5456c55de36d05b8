import type { RegistryConfig, SpecProviderConfig } from "../config/load.ts"
import type { Egress } from "../egress/egress.ts"
import { FixedSpecProvider } from "../spec/fixed.ts"
import { GrpcSpecSource } from "../spec/grpc.ts"
import { HttpSpecSource } from "../spec/http.ts"
import { RemoteSpecProvider } from "../spec/remote.ts"
import type { SpecProvider } from "../spec/spec.ts"
import type { SpecSource } from "../spec/spec-source.ts"
import type { Readiness } from "../telemetry/readiness.ts"
import type { Tools } from "./tools.ts"

export interface SpecProviders {
  readonly all: readonly SpecProvider[]
  /** Begins to look whether those elsewhere are there. */
  watch(): void
  close(): void
}

export interface SpecProviderParts extends Tools {
  readonly egress: Egress
  readonly readiness: Readiness
}

/** Everything that knows specs. Rejects with what people have to correct. */
export async function openSpecProviders(config: RegistryConfig, parts: SpecProviderParts): Promise<SpecProviders> {
  const { log, metrics, readiness, tuning } = parts
  const { clock, specs: policy } = tuning
  const { fixedSpecs, specProviders } = config
  const fixed = fixedSpecs === null ? null : await FixedSpecProvider.create({ path: fixedSpecs, clock, log, metrics })
  const sources = specProviders.map((provider) => openSource(provider, parts))
  const remote = sources.length === 0 ? null : new RemoteSpecProvider({ sources, policy, clock, log, readiness })
  const close = () => {
    fixed?.close()
    remote?.close()
  }
  const watch = () => remote?.watch()
  return { all: [fixed, remote].filter((provider) => provider !== null), watch, close }
}

function openSource(provider: SpecProviderConfig, { egress, log, metrics, tuning }: SpecProviderParts): SpecSource {
  const { clock, specs } = tuning
  if (provider.kind === "grpc")
    return new GrpcSpecSource({ ...provider, attemptsMs: specs.attemptsMs, log, metrics: metrics.grpc })
  const patienceMs = specs.attemptsMs.reduce((sum, attemptMs) => sum + attemptMs, 0)
  return new HttpSpecSource({ url: provider.url, egress, clock, patienceMs })
}
