import type { RegistryConfig } from "../config/load.ts"
import type { Egress } from "../egress/egress.ts"
import { fetchEgress } from "../egress/fetch-egress.ts"
import { Guard } from "../egress/guard.ts"
import { measuredEgress } from "../egress/measured-egress.ts"
import { followRedirects } from "../egress/redirects.ts"
import { tracedEgress } from "../egress/traced-egress.ts"
import type { WatchedFile } from "../lib/watched-file.ts"
import { canonicalHost, type Trust } from "../oci/reference.ts"
import { untraced } from "../telemetry/tracer.ts"
import type { AccessMemory } from "../upstream/access-memory.ts"
import type { Keychain } from "../upstream/keychain.ts"
import { LayoutUpstream } from "../upstream/layout-upstream.ts"
import { MirroredUpstream } from "../upstream/mirrored-upstream.ts"
import { type Endpoint, RegistryClient } from "../upstream/registry-client.ts"
import { RegistryUpstream } from "../upstream/registry-upstream.ts"
import { RetryingUpstream, upstreamWaitMs } from "../upstream/retrying-upstream.ts"
import { TokenCache } from "../upstream/token.ts"
import type { Upstream } from "../upstream/upstream.ts"
import { Upstreams } from "../upstream/upstreams.ts"
import type { KnownHosts } from "./known-hosts.ts"
import type { Tools } from "./tools.ts"
import { baseURLOf, byURLHost, isNamed, isPlain, labelOf } from "./upstream-hosts.ts"

/** PEM certificates by host. */
export type Authorities = ReadonlyMap<string, Pick<WatchedFile<string>, "current">>

interface Outside {
  readonly egress: Egress
  readonly keychain: Keychain
  readonly memory: AccessMemory
}

/** The way out, for what operators write, and for what others do: they reach only what is public or named. */
export function buildEgress(
  config: RegistryConfig,
  { authorities, hosts }: { readonly authorities: Authorities; readonly hosts: KnownHosts },
  { metrics, tracer, tuning }: Tools,
): Readonly<Record<Trust, Egress>> {
  const { clock, proxies } = tuning
  const upstreams = byURLHost(config, config.upstreams)
  const trusted = byURLHost(config, authorities)
  const { dialer } = hosts
  const guard = new Guard({ dialer, isNamed: isNamed(config) })
  const hostSettings = async (host: string) => ({
    insecureSkipVerify: upstreams.get(canonicalHost(host))?.insecureSkipVerify ?? false,
    ca: (await trusted.get(canonicalHost(host))?.current()) ?? null,
  })
  const options = { ...tuning.egress, ...config.timeouts, clock, dialer, guard, proxies, hostSettings }
  const mannered = hosts.mannered(measuredEgress(fetchEgress(options), metrics))
  const redirected = followRedirects(mannered, { allowsPlainHTTP: (host) => isPlain(upstreams, host) })
  const operator = tracer === untraced ? redirected : tracedEgress(redirected, tracer)
  return { operator, remote: (request, signal) => operator({ ...request, limit: "public" }, signal) }
}

/** Every place that images come from. */
export function buildUpstream(
  config: RegistryConfig,
  { egress, keychain, memory }: Outside,
  { log, metrics, tuning }: Tools,
): RetryingUpstream {
  const { upstreams } = config
  const { clock, credentials, documents, random } = tuning
  const settings = byURLHost(config, upstreams)
  const tokens = new TokenCache({ egress, clock, metrics, tokens: memory.tokens })
  const common = { egress, tokens, metrics, clock, refusedMs: credentials.refusedMs }
  const open = (endpoint: Endpoint, host: string) => {
    const known = memory.loginsOf(endpoint)
    const client = new RegistryClient({ ...common, endpoint, keychain: keychainOf(host, keychain), memory: known })
    return new RegistryUpstream(client)
  }
  const connect = (host: string): Upstream => {
    const baseURL = baseURLOf(upstreams, host)
    const realms = (named: string) => settings.get(canonicalHost(named))?.realms ?? []
    const origin = open({ baseURL, mirrorOf: null, realms: realms(host), label: labelOf(config, host) }, host)
    const mirrors =
      upstreams.get(host)?.mirrors.map((mirror) => ({
        host: mirror.host,
        upstream: open(
          { baseURL: mirror, mirrorOf: host, realms: realms(mirror.host), label: mirror.host },
          mirror.host,
        ),
      })) ?? []
    return mirrors.length === 0 ? origin : new MirroredUpstream(mirrors, origin, { log, metrics })
  }
  const upstream = new Upstreams({ layouts: new LayoutUpstream(), connect })
  return new RetryingUpstream(upstream, { ...documents, random, clock, waitMs: upstreamWaitMs(documents.patienceMs) })
}

/** A mirror is asked with what is known for its own host, never with the credentials of what it mirrors. */
const keychainOf = (host: string, keychain: Keychain): Keychain => ({
  find: async (repository, signal) => await keychain.find({ ...repository, host }, signal),
  forget: (refused) => keychain.forget(refused),
})
