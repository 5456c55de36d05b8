import { lookup } from "node:dns/promises"
import { readFileSync } from "node:fs"
import type { RegistryConfig } from "../config/load.ts"
import { Dialer } from "../egress/dialer.ts"
import type { Egress } from "../egress/egress.ts"
import { fetchEgress } from "../egress/fetch-egress.ts"
import { Guard } from "../egress/guard.ts"
import { limitedEgress } from "../egress/limited-egress.ts"
import { pacedEgress } from "../egress/paced-egress.ts"
import { followRedirects } from "../egress/redirects.ts"
import { probeTcp } from "../egress/tcp-probe.ts"
import { canonicalHost, type Repository, type Trust } from "../oci/reference.ts"
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

/** The way out, for what operators write, and for what others do: they reach only what is public or named. */
export function buildEgress(config: RegistryConfig, { metrics, tuning }: Tools): Readonly<Record<Trust, Egress>> {
  const { clock, egress, proxies } = tuning
  const { upstreams } = config
  const authorities = readAuthorities(upstreams)
  const dialer = new Dialer({ clock, connectMs: egress.connectMs, lookup: addressesOf, probe: probeTcp })
  const guard = new Guard({ dialer, isNamed: isNamed(config) })
  const hostSettings = (host: string) => ({
    insecureSkipVerify: upstreams.get(canonicalHost(host))?.insecureSkipVerify ?? false,
    ca: authorities.get(canonicalHost(host)) ?? null,
  })
  const onBreaker = (host: string, isOpen: boolean) => {
    if (upstreams.has(canonicalHost(host))) metrics.breakerOpen.set({ dependency: canonicalHost(host) }, isOpen ? 1 : 0)
  }
  const direct = fetchEgress({ ...egress, clock, dialer, guard, proxies, hostSettings })
  const mannered = limitedEgress(pacedEgress(direct, { ...egress, clock, onBreaker }), { ...egress, clock })
  const operator = followRedirects(mannered, { allowsPlainHTTP: (host) => isPlain(upstreams, host) })
  return { operator, remote: (request, signal) => operator({ ...request, limit: "public" }, signal) }
}

/** All addresses of a name. Rejects when it has none. */
export async function addressesOf(hostname: string): Promise<readonly string[]> {
  const found = await lookup(hostname, { all: true })
  return found.map(({ address }) => address)
}

function readAuthorities(upstreams: UpstreamConfigs): ReadonlyMap<string, string> {
  const files = [...upstreams].flatMap(([host, { ca }]) => (ca === null ? [] : [[host, ca] as const]))
  return new Map(files.map(([host, ca]) => [host, readFileSync(ca, "utf8")]))
}

/** Named by an operator: as an upstream, as a mirror of one, or as the host of what may be pulled. */
function isNamed({ upstreams, allowedUpstreams }: RegistryConfig): (host: string) => boolean {
  const mirrors = [...upstreams.values()].flatMap((upstream) => upstream.mirrors.map(({ host }) => host))
  const allowed = (allowedUpstreams ?? []).map((pattern) => canonicalHost(pattern.split("/")[0] ?? ""))
  const named = new Set([...upstreams.keys(), ...mirrors, ...allowed])
  return (host) => named.has(canonicalHost(host))
}

/** Every place that images come from. */
export function buildUpstream(
  { upstreams }: RegistryConfig,
  egress: Egress,
  { log, metrics, tuning }: Tools,
): RetryingUpstream {
  const { clock, documents, random } = tuning
  const tokens = new TokenCache({ egress, clock, metrics })
  const open = (endpoint: Endpoint, host: string) => {
    const login: Keychain = (repository, signal) => keychain(upstreams)({ ...repository, host }, signal)
    return new RegistryUpstream(new RegistryClient({ endpoint, egress, keychain: login, tokens, metrics }))
  }
  const connect = (host: string): Upstream => {
    const baseURL = new URL(`${isPlain(upstreams, host) ? "http" : "https"}://${apiHost(host)}`)
    const origin = open({ baseURL, mirrorOf: null, label: upstreams.has(host) ? host : "other" }, host)
    const mirrors =
      upstreams
        .get(host)
        ?.mirrors.map((mirror) => open({ baseURL: mirror, mirrorOf: host, label: mirror.host }, mirror.host)) ?? []
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

const keychain =
  (upstreams: UpstreamConfigs): Keychain =>
  async ({ host }: Repository) => {
    const upstream = upstreams.get(canonicalHost(host))
    if (upstream?.username === null || upstream?.username === undefined || upstream.passwordFile === null) return null
    const password = await Bun.file(upstream.passwordFile).text()
    return { username: upstream.username, password: password.replace(/\r?\n$/, "") }
  }
