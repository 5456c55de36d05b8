import type { ConfigFile } from "./schema.ts"

export interface ConfigChanges {
  /** Keys that take effect at once, e.g. "registry.tagTTL". */
  readonly live: readonly string[]
  /** Keys that take effect when the process starts again. */
  readonly restart: readonly string[]
}

/** Who may use the registry's port, and how it is spoken to there. */
const OF_PORT = ["registry.auth", "registry.requireAuth", "registry.tls"]

export const isOfPort = (key: string): boolean => OF_PORT.includes(key)

/** Everything else is decided when the process starts: ports, places on disk, and connections. */
const LIVE: ReadonlySet<string> = new Set([
  "dockerAuth",
  "shutdown",
  "registry.staticLayer",
  "registry.remoteSpecProvider",
  "registry.fixedSpecFN",
  "registry.tagTTL",
  "registry.staleIfError",
  "registry.defaultPlatform",
  "registry.upstreams",
  "registry.allowedUpstreams",
  ...OF_PORT,
  "blobserve.timeout",
  "blobserve.repos",
  "blobserve.allowAnyRepo",
])

/** What differs between two configurations, by key. */
export function configChanges(before: ConfigFile, after: ConfigFile): ConfigChanges {
  const [old, next] = [flat(before), flat(after)]
  const all = new Set([...old.keys(), ...next.keys()])
  const keys = [...all].filter((key) => old.get(key) !== next.get(key)).toSorted()
  const isLive = (key: string) => LIVE.has(key) && isThroughout(key.split(".")[0], before, after)
  return { live: keys.filter(isLive), restart: keys.filter((key) => !isLive(key)) }
}

/** False for a key of a section that comes or goes as a whole. */
const isThroughout = (name: string | undefined, before: ConfigFile, after: ConfigFile): boolean =>
  (name !== "registry" && name !== "blobserve") || (before[name] !== undefined && after[name] !== undefined)

/** The values by key, those of the sections by section and key. */
function flat({ registry = {}, blobserve = {}, ...top }: ConfigFile): ReadonlyMap<string, string> {
  const entries = (section: object, prefix: string) =>
    Object.entries(section).map(([key, value]) => [`${prefix}${key}`, JSON.stringify(value)] as const)
  const { $schema: _, ...rest } = top
  return new Map([...entries(rest, ""), ...entries(registry, "registry."), ...entries(blobserve, "blobserve.")])
}
