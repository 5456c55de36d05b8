import type { RegistryConfig } from "../config/load.ts"
import { Dialer } from "../egress/dialer.ts"
import type { Egress } from "../egress/egress.ts"
import { fetchEgress } from "../egress/fetch-egress.ts"
import { Guard } from "../egress/guard.ts"
import { limitedEgress } from "../egress/limited-egress.ts"
import { measuredEgress } from "../egress/measured-egress.ts"
import { pacedEgress } from "../egress/paced-egress.ts"
import { followRedirects } from "../egress/redirects.ts"
import { probeTcp } from "../egress/tcp-probe.ts"
import { tracedEgress } from "../egress/traced-egress.ts"
import type { WatchedFile } from "../lib/watched-file.ts"
import { canonicalHost, type Trust } from "../oci/reference.ts"
import { untraced } from "../telemetry/tracer.ts"
import type { Keychain } from "../upstream/keychain.ts"
import { LayoutUpstream } from "../upstream/layout-upstream.ts"
import { MirroredUpstream } from "../upstream/mirrored-upstream.ts"
import { type Endpoint, RegistryClient } from "../upstream/registry-client.ts"
import { RegistryUpstream } from "../upstream/registry-upstream.ts"
import { RetryingUpstream, upstreamWaitMs } from "../upstream/retrying-upstream.ts"
import { TokenCache } from "../upstream/token.ts"
import type { Upstream } from "../upstream/upstream.ts"
import { Upstreams } from "../upstream/upstreams.ts"
import type { Tools } from "./tools.ts"

type UpstreamConfigs = RegistryConfig["upstreams"]

/** PEM certificates by host. */
export type Authorities = ReadonlyMap<string, Pick<WatchedFile<string>, "current">>

interface Outside {
  readonly egress: Egress
  readonly keychain: Keychain
}

/** The way out, for what operators write, and for what others do: they reach only what is public or named. */
export function buildEgress(
  config: RegistryConfig,
  authorities: Authorities,
  { metrics, tracer, tuning }: Tools,
): Readonly<Record<Trust, Egress>> {
  const { clock, lookup, proxies } = tuning
  const upstreams = byURLHost(config, config.upstreams)
  const trusted = byURLHost(config, authorities)
  const egress = { ...tuning.egress, ...config.timeouts }
  const dialer = new Dialer({ clock, connectMs: egress.connectMs, lookup, probe: probeTcp })
  const guard = new Guard({ dialer, isNamed: isNamed(config) })
  const hostSettings = async (host: string) => ({
    insecureSkipVerify: upstreams.get(canonicalHost(host))?.insecureSkipVerify ?? false,
    ca: (await trusted.get(canonicalHost(host))?.current()) ?? null,
  })
  const onBreaker = (host: string, isOpen: boolean) => {
    if (upstreams.has(canonicalHost(host))) metrics.breakerOpen.set({ dependency: canonicalHost(host) }, isOpen ? 1 : 0)
  }
  const direct = measuredEgress(fetchEgress({ ...egress, clock, dialer, guard, proxies, hostSettings }), metrics)
  const mannered = limitedEgress(pacedEgress(direct, { ...egress, clock, onBreaker }), { ...egress, clock })
  const redirected = followRedirects(mannered, { allowsPlainHTTP: (host) => isPlain(upstreams, host) })
  const operator = tracer === untraced ? redirected : tracedEgress(redirected, tracer)
  return { operator, remote: (request, signal) => operator({ ...request, limit: "public" }, signal) }
}

/** What is known by hosts as operators write them, by hosts as URLs have them, too: without the usual port of a scheme. */
function byURLHost<Value>(
  { upstreams }: RegistryConfig,
  known: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  const written = [...known].map(([host, value]) => [urlHost(upstreams, host), value] as const)
  return new Map([...written, ...known])
}

const urlHost = (upstreams: UpstreamConfigs, host: string): string =>
  URL.parse(`${isPlain(upstreams, host) ? "http" : "https"}://${host}`)?.host ?? host

/** Named by an operator: as an upstream, as a mirror or a token server of one, or as the host of what may be pulled. */
function isNamed({ upstreams, allowedUpstreams }: RegistryConfig): (host: string) => boolean {
  const others = [...upstreams.values()].flatMap(({ mirrors, realms }) => [
    ...mirrors.map(({ host }) => host),
    ...realms,
  ])
  const allowed = (allowedUpstreams ?? []).map((pattern) => canonicalHost(pattern.split("/")[0] ?? ""))
  const hosts = [...upstreams.keys(), ...allowed].flatMap((host) => [host, urlHost(upstreams, host)])
  const named = new Set([...hosts, ...others])
  return (host) => named.has(canonicalHost(host))
}

/** Every place that images come from. */
export function buildUpstream(
  config: RegistryConfig,
  { egress, keychain }: Outside,
  { log, metrics, tuning }: Tools,
): RetryingUpstream {
  const { upstreams } = config
  const { clock, credentials, documents, random } = tuning
  const settings = byURLHost(config, upstreams)
  const tokens = new TokenCache({ egress, clock, metrics })
  const open = (endpoint: Endpoint, host: string) => {
    const login = keychainOf(host, keychain)
    const { refusedMs } = credentials
    const client = new RegistryClient({ endpoint, egress, keychain: login, tokens, metrics, clock, refusedMs })
    return new RegistryUpstream(client)
  }
  const connect = (host: string): Upstream => {
    const baseURL = new URL(`${isPlain(upstreams, host) ? "http" : "https"}://${apiHost(host)}`)
    const realms = (named: string) => settings.get(canonicalHost(named))?.realms ?? []
    const origin = open({ baseURL, mirrorOf: null, realms: realms(host), label: labelOf(config, host) }, host)
    const mirrors =
      upstreams
        .get(host)
        ?.mirrors.map((mirror) =>
          open({ baseURL: mirror, mirrorOf: host, realms: realms(mirror.host), label: mirror.host }, mirror.host),
        ) ?? []
    return mirrors.length === 0 ? origin : new MirroredUpstream(mirrors, origin, log)
  }
  const upstream = new Upstreams({ layouts: new LayoutUpstream(), connect })
  return new RetryingUpstream(upstream, { ...documents, random, clock, waitMs: upstreamWaitMs(documents.patienceMs) })
}

/** Docker Hub's API is not where its name says. */
const apiHost = (host: string): string => (host === "docker.io" ? "registry-1.docker.io" : host)

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/

const isPlain = (upstreams: UpstreamConfigs, host: string): boolean =>
  upstreams.get(canonicalHost(host))?.plainHTTP ?? LOOPBACK.test(host)

/** Hosts that an operator has named, and the default one, so that metrics have a bounded number of series. */
function labelOf(config: RegistryConfig, host: string): string {
  return host === "docker.io" || isNamed(config)(host) ? host : "other"
}

/** A mirror is asked with what is known for its own host, never with the credentials of what it mirrors. */
const keychainOf = (host: string, keychain: Keychain): Keychain => ({
  find: async (repository, signal) => await keychain.find({ ...repository, host }, signal),
  forget: (refused) => keychain.forget(refused),
})
