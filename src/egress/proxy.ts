import ipaddr from "ipaddr.js"
import { isLoopbackHost } from "../lib/loopback.ts"

/** Where requests go through proxies, as the environment says it. */
export interface ProxySettings {
  readonly http: URL | null
  readonly https: URL | null
  /** Hosts that are asked directly. */
  readonly direct: readonly string[]
}

const KEYS = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"] as const

/**
 * Reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in either case, and takes them out of the environment: left there, they
 * would apply to every request by themselves, those to this machine included. Throws TypeError for what is no URL.
 */
export function takeProxySettings(env: Record<string, string | undefined>): ProxySettings {
  const read = (name: string) => env[name.toLowerCase()] || env[name] || ""
  const settings = {
    http: proxyURL("HTTP_PROXY", read("HTTP_PROXY")),
    https: proxyURL("HTTPS_PROXY", read("HTTPS_PROXY")),
    direct: read("NO_PROXY")
      .split(/[\s,]+/)
      .filter((entry) => entry !== ""),
  }
  for (const key of KEYS) delete env[key]
  return settings
}

/** The variables that the settings were read from, for programs that we start and that go out by themselves. */
export function proxyEnvironment({ http, https, direct }: ProxySettings): Readonly<Record<string, string>> {
  return {
    ...(http === null ? {} : { HTTP_PROXY: http.href, http_proxy: http.href }),
    ...(https === null ? {} : { HTTPS_PROXY: https.href, https_proxy: https.href }),
    ...(direct.length === 0 ? {} : { NO_PROXY: direct.join(), no_proxy: direct.join() }),
  }
}

export const NO_PROXIES: ProxySettings = { http: null, https: null, direct: [] }

/** The proxy for a URL; null: ask directly, as always for this machine itself. */
export function findProxy({ http, https, direct }: ProxySettings, { hostname, host, protocol }: URL): URL | null {
  const proxy = protocol === "https:" ? https : http
  if (proxy === null || isLoopbackHost(hostname)) return null
  return direct.some((entry) => matches(entry.toLowerCase(), hostname, host)) ? null : proxy
}

/** `*`, a host, a host with its port, a domain with or without `.` or `*.` before it, an address, or a network. */
function matches(entry: string, hostname: string, host: string): boolean {
  if (entry === "*" || entry === host || entry === hostname) return true
  const address = hostname.replace(/^\[|\]$/g, "")
  if (ipaddr.isValid(address)) return entry === address || isInNetwork(address, entry)
  return hostname.endsWith(entry.replace(/^(?:\*?\.)?/, "."))
}

function isInNetwork(address: string, network: string): boolean {
  if (!ipaddr.isValidCIDR(network)) return false
  const [parsed, [range, bits]] = [ipaddr.parse(address), ipaddr.parseCIDR(network)]
  return parsed.kind() === range.kind() && parsed.match([range, bits])
}

function proxyURL(name: string, text: string): URL | null {
  if (text === "") return null
  const url = URL.parse(text.includes("://") ? text : `http://${text}`)
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new TypeError(`Cannot use ${name}: it is no http or https URL`)
  return url
}
