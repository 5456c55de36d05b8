import { systemClock } from "../../src/lib/clock.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { RegistryClient } from "../../src/upstream/registry-client.ts"
import { RegistryUpstream } from "../../src/upstream/registry-upstream.ts"
import { TokenCache } from "../../src/upstream/token.ts"
import { testEgress } from "./egress.ts"
import { keychainOf } from "./keychain.ts"

/** A registry, asked without credentials. */
export function anonymousUpstream(baseURL: URL): RegistryUpstream {
  const egress = testEgress()
  const metrics = createMetrics()
  const client = new RegistryClient({
    endpoint: { baseURL, mirrorOf: null, realms: [], label: "other" },
    egress,
    keychain: keychainOf(null),
    tokens: new TokenCache({ egress, clock: systemClock, metrics }),
    metrics,
    clock: systemClock,
    refusedMs: 0,
  })
  return new RegistryUpstream(client)
}
