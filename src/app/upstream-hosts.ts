import type { RegistryConfig } from "../config/load.ts"
import { isLoopbackHost } from "../lib/loopback.ts"
import { canonicalHost } from "../oci/reference.ts"

type UpstreamConfigs = RegistryConfig["upstreams"]

export const isPlain = (upstreams: UpstreamConfigs, host: string): boolean =>
  upstreams.get(canonicalHost(host))?.plainHTTP ?? isLoopbackHost(host)

/** Where the API of a registry is. Docker Hub's is not where its name says. */
export const baseURLOf = (upstreams: UpstreamConfigs, host: string): URL =>
  new URL(`${isPlain(upstreams, host) ? "http" : "https"}://${host === "docker.io" ? "registry-1.docker.io" : host}`)

/** What is known by hosts as operators write them, by hosts as URLs have them, too: without the usual port of a scheme. */
export function byURLHost<Value>(
  { upstreams }: RegistryConfig,
  known: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  const written = [...known].map(([host, value]) => [urlHost(upstreams, host), value] as const)
  return new Map([...written, ...known])
}

const urlHost = (upstreams: UpstreamConfigs, host: string): string =>
  URL.parse(`${isPlain(upstreams, host) ? "http" : "https"}://${host}`)?.host ?? host

/** Named by an operator: as an upstream, as a mirror or a token server of one, or as the host of what may be pulled. */
export function isNamed({ upstreams, allowedUpstreams }: RegistryConfig): (host: string) => boolean {
  const others = [...upstreams.values()].flatMap(({ mirrors, realms }) => [
    ...mirrors.map(({ host }) => host),
    ...realms,
  ])
  const allowed = (allowedUpstreams ?? []).map((pattern) => canonicalHost(pattern.split("/")[0] ?? ""))
  const hosts = [...upstreams.keys(), ...allowed].flatMap((host) => [host, urlHost(upstreams, host)])
  const named = new Set([...hosts, ...others])
  return (host) => named.has(canonicalHost(host))
}

/** Hosts that an operator has named, and the default one, so that metrics have a bounded number of series. */
export const labelOf = (config: RegistryConfig, host: string): string =>
  host === "docker.io" || isNamed(config)(host) ? host : "other"
