import type { RegistryConfig } from "./load.ts"

/** The files that have to be there, and to be right, for a configuration to be applied while the process runs. */
export function namedFiles(config: RegistryConfig): readonly string[] {
  const { auth, dockerAuth, fixedSpecs, specProviders, tls, upstreams } = config
  const ofPort = [auth?.htpasswd ?? null, tls?.crt ?? null, tls?.key ?? null, tls?.clientCA ?? null]
  const ofProviders = specProviders.flatMap((provider) =>
    provider.kind === "grpc" && provider.tls !== null ? [provider.tls.ca, provider.tls.crt, provider.tls.key] : [],
  )
  const ofUpstreams = [...upstreams.values()].flatMap(({ ca, passwordFile }) => [ca, passwordFile])
  return [dockerAuth, fixedSpecs, ...ofPort, ...ofProviders, ...ofUpstreams].filter((path) => path !== null)
}
