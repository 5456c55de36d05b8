import { resolve } from "node:path"
import { parseDuration } from "../lib/duration.ts"
import { parseApiAddress } from "../lib/multiaddr.ts"
import { redactText } from "../lib/redact.ts"
import type { Problem } from "../lib/validate.ts"
import type { RegistrySection } from "./schema.ts"

/** Variables of the process. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface ServerConfig {
  readonly host: string
  readonly port: number
}

export interface RedisConfig {
  readonly single: ServerConfig | null
  readonly sentinel: { readonly master: string; readonly servers: readonly ServerConfig[] } | null
  readonly cluster: readonly ServerConfig[] | null
  readonly username: string | null
  readonly password: string | null
  /** `ca` is a path. */
  readonly tls: { readonly ca: string | null; readonly insecureSkipVerify: boolean } | null
  readonly keyPrefix: string
}

export interface IpfsConfig {
  readonly api: URL
  readonly gateway: URL | null
  readonly profile: string
  readonly budgetBytes: number
  readonly allowPublicSwarm: boolean
  readonly cluster: {
    readonly url: URL
    readonly replicationMin: number
    readonly replicationMax: number
    readonly expireInMs: number
  } | null
}

/** What a node shares with others. */
export interface SharingConfig {
  readonly redis: RedisConfig | null
  readonly ipfs: IpfsConfig | null
}

type RedisSection = NonNullable<RegistrySection["redis"]>
type IpfsSection = NonNullable<RegistrySection["ipfs"]>

/** Ways to cut content into blocks that nodes can be told; the first is the default. */
export const PROFILE_NAMES = ["unixfs-v1-2025", "test-cid-v1"]
const DEFAULT_PROFILE = "unixfs-v1-2025"
const REDIS_PORT = 6379
const SENTINEL_PORT = 26_379
const NO_API = "is no address of an IPFS node, like /ip4/127.0.0.1/tcp/5001"
const ANY_HOST = "localhost"

export function toSharing(dir: string, { redis, ipfs }: RegistrySection, env: Environment): SharingConfig {
  return {
    redis: redis?.enabled === true ? toRedis(dir, redis, env) : null,
    ipfs: ipfs?.enabled === true ? toIpfs(ipfs, env) : null,
  }
}

function toRedis(dir: string, section: RedisSection, env: Environment): RedisConfig {
  const { cluster, sentinel } = section
  const servers = (addrs: readonly string[] | undefined, port: number) =>
    (addrs ?? []).map((addr) => parseServer(addr, port))
  return {
    single: section.singleHostAddr ? parseServer(section.singleHostAddr, REDIS_PORT) : null,
    sentinel: sentinel?.master ? { master: sentinel.master, servers: servers(sentinel.addrs, SENTINEL_PORT) } : null,
    cluster: (cluster?.addrs ?? []).length > 0 ? servers(cluster?.addrs, REDIS_PORT) : null,
    username: section.username || null,
    password: env["REDIS_PASSWORD"] || null,
    tls:
      section.useTLS === true
        ? { ca: section.ca ? resolve(dir, section.ca) : null, insecureSkipVerify: section.insecureSkipVerify ?? false }
        : null,
    keyPrefix: section.keyPrefix ?? "",
  }
}

function toIpfs(section: IpfsSection, env: Environment): IpfsConfig {
  const { cluster } = section
  const host = env["IPFS_HOST"] ?? "127.0.0.1"
  return {
    api: toApi(withHost(section.ipfsAddr ?? "", host)),
    gateway: section.gatewayAddr ? toApi(withHost(section.gatewayAddr, host)) : null,
    profile: section.profile || DEFAULT_PROFILE,
    budgetBytes: section.budgetBytes ?? 0,
    allowPublicSwarm: section.allowPublicSwarm ?? false,
    cluster: cluster?.url
      ? {
          url: new URL(cluster.url),
          replicationMin: cluster.replicationMin ?? 0,
          replicationMax: cluster.replicationMax ?? 0,
          expireInMs: parseDuration(cluster.expireIn || "0s"),
        }
      : null,
  }
}

const withHost = (text: string, host: string): string => text.replaceAll("$IPFS_HOST", host)

/** Only the value of $IPFS_HOST has not been looked at before. */
function toApi(text: string): URL {
  const api = parseApiAddress(text)
  if (api === null) throw new TypeError(`${JSON.stringify(redactText(text))} ${NO_API}; is $IPFS_HOST a host?`)
  return api
}

function parseServer(text: string, defaultPort: number): ServerConfig {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  if (host === undefined) throw new TypeError(`${JSON.stringify(text)} is no host:port`)
  return { host, port: Number(match?.[3] ?? defaultPort) }
}

/** What the schema cannot say about these sections. */
export function sharingProblems({ redis, ipfs }: RegistrySection): readonly Problem[] {
  return [...redisProblems(redis), ...ipfsProblems(ipfs)]
}

function redisProblems(redis: RedisSection | undefined): readonly Problem[] {
  if (redis?.enabled !== true) return []
  const path = ["registry", "redis"]
  const ways = [redis.singleHostAddr, redis.sentinel?.master, redis.cluster?.addrs?.[0]].filter((way) => way)
  if (ways.length !== 1) return [{ path, message: 'expected one of "singleHostAddr", "sentinel" and "cluster"' }]
  if (redis.sentinel?.master && (redis.sentinel.addrs ?? []).length === 0)
    return [{ path: [...path, "sentinel"], message: 'expected "addrs", the addresses of sentinels' }]
  const addrs = [redis.singleHostAddr ?? "", ...(redis.sentinel?.addrs ?? []), ...(redis.cluster?.addrs ?? [])]
  const wrong = addrs.find((addr) => addr !== "" && !isServer(addr))
  return wrong === undefined ? [] : [{ path, message: `${JSON.stringify(redactText(wrong))} is no host:port` }]
}

function isServer(text: string): boolean {
  try {
    return parseServer(text, 1).port < 65_536
  } catch {
    return false
  }
}

function ipfsProblems(ipfs: IpfsSection | undefined): readonly Problem[] {
  if (ipfs?.enabled !== true) return []
  const { cluster, gatewayAddr, ipfsAddr, profile } = ipfs
  const checks: readonly (readonly [isWrong: boolean, path: readonly string[], message: string])[] = [
    [!ipfsAddr, [], 'expected "ipfsAddr", like /ip4/127.0.0.1/tcp/5001'],
    [!isApi(ipfsAddr), ["ipfsAddr"], `${JSON.stringify(redactText(ipfsAddr ?? ""))} ${NO_API}`],
    [
      Boolean(profile) && !PROFILE_NAMES.includes(profile ?? ""),
      ["profile"],
      `expected one of ${PROFILE_NAMES.join(", ")}`,
    ],
    [!isURL(gatewayAddr), ["gatewayAddr"], "expected an http or https URL"],
    [!isURL(cluster?.url), ["cluster", "url"], "expected an http or https URL"],
    [!isDuration(cluster?.expireIn), ["cluster", "expireIn"], 'expected a duration, like "720h"'],
  ]
  const wrong = checks.filter(([isWrong]) => isWrong)
  return wrong.map(([, path, message]) => ({ path: ["registry", "ipfs", ...path], message }))
}

/** Nothing given is nothing wrong. */
const isURL = (text: string | undefined): boolean =>
  !text || /^https?:$/.test(URL.parse(withHost(text, ANY_HOST))?.protocol ?? "")

const isApi = (text: string | undefined): boolean => !text || parseApiAddress(withHost(text, ANY_HOST)) !== null

function isDuration(text: string | undefined): boolean {
  try {
    return !text || parseDuration(text) >= 0
  } catch {
    return false
  }
}
