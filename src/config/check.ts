import type { Problem } from "../lib/validate.ts"
import { canonicalHost, parseReference } from "../oci/reference.ts"
import { checkBlobserve } from "./blobserve.ts"
import { HOST } from "./fields.ts"
import type { ConfigFile, SpecProviderSection, UpstreamSection } from "./schema.ts"
import { sharingProblems } from "./sharing.ts"

/** What a schema cannot say: parts that need each other, and texts with a grammar of their own. */
export function checkMeaning(config: ConfigFile): readonly Problem[] {
  const { registry } = config
  if (registry === undefined && config.blobserve === undefined) {
    return [{ path: [], message: 'expected "registry" or "blobserve", there is nothing to serve' }]
  }
  const files = config.blobserve === undefined ? [] : checkBlobserve(config.blobserve, registry !== undefined)
  const ofOthers = [...checkTracing(config), ...files]
  if (registry === undefined) return ofOthers
  const checks = [checkAuth, checkTls, checkStaticLayers, checkSpecProviders, checkUpstreams, sharingProblems]
  return [...ofOthers, ...checks.flatMap((check) => check(registry))]
}

function checkTracing({ tracing }: ConfigFile): readonly Problem[] {
  const url = tracing?.otlpEndpoint ?? ""
  return url === "" || URL.canParse(url) ? [] : [{ path: ["tracing", "otlpEndpoint"], message: "is no URL" }]
}

type Registry = NonNullable<ConfigFile["registry"]>

function checkAuth({ requireAuth, auth }: Registry): readonly Problem[] {
  const path = ["registry", "requireAuth"]
  const hasUsers = (auth?.htpasswd ?? "") !== ""
  if (requireAuth === true && !hasUsers)
    return [{ path, message: 'needs "auth": { "htpasswd": "file" } to tell who may pull' }]
  // Who has written down users does not want to be open by having forgotten a line
  if (requireAuth === undefined && hasUsers)
    return [{ path, message: 'is missing beside "auth": true asks for a login, false lets everybody pull' }]
  return []
}

function checkTls({ tls }: Registry): readonly Problem[] {
  if (tls === undefined) return []
  const missing = (["crt", "key"] as const).filter((name) => (tls[name] ?? "") === "")
  if (missing.length > 0) return [{ path: ["registry", "tls"], message: 'needs both "crt" and "key"' }]
  // An empty name would be no check of clients at all
  if (tls.clientCA !== "") return []
  return [{ path: ["registry", "tls", "clientCA"], message: "expected a file, or no such key" }]
}

function checkStaticLayers({ staticLayer = [] }: Registry): readonly Problem[] {
  return staticLayer.flatMap(({ type, ref }, index) => {
    if (type !== "image") return []
    const path = ["registry", "staticLayer", index, "ref"]
    try {
      return parseReference(ref).kind === "scratch" ? [{ path, message: "the empty image has no layers" }] : []
    } catch (error) {
      return [{ path, message: error instanceof Error ? error.message : String(error) }]
    }
  })
}

function checkSpecProviders({ remoteSpecProvider = [] }: Registry): readonly Problem[] {
  const isList = Array.isArray(remoteSpecProvider)
  return [remoteSpecProvider].flat().flatMap((provider, index) => {
    const { at, message } = "url" in provider ? checkHttpProvider(provider.url) : checkGrpcProvider(provider)
    return at === null ? [] : [{ path: ["registry", "remoteSpecProvider", ...(isList ? [index] : []), at], message }]
  })
}

interface ProviderFault {
  /** The key that is wrong; null: none is. */
  readonly at: string | null
  readonly message: string
}

const NO_FAULT: ProviderFault = { at: null, message: "" }

const checkHttpProvider = (url: string): ProviderFault =>
  URL.canParse(url) ? NO_FAULT : { at: "url", message: "is no URL" }

function checkGrpcProvider({ addr, tls }: Exclude<SpecProviderSection, { url: string }>): ProviderFault {
  if (!/:\d{1,5}$|^unix:/.test(addr))
    return { at: "addr", message: 'expected "host:port", or a target of gRPC like "dns:///host:port"' }
  const isHalf = ((tls?.crt ?? "") === "") !== ((tls?.key ?? "") === "")
  return isHalf ? { at: "tls", message: 'needs both "crt" and "key", or neither' } : NO_FAULT
}

function checkUpstreams({ upstreams = {} }: Registry): readonly Problem[] {
  const hosts = Object.keys(upstreams)
  return Object.entries(upstreams).flatMap(([host, upstream], place) => {
    const path = ["registry", "upstreams", host]
    const same = hosts.slice(0, place).find((other) => canonicalHost(other) === canonicalHost(host))
    const mirrors = [...(upstream.mirrors ?? []).entries()].flatMap(([index, mirror]) =>
      mirrorProblems(mirror).map((message) => ({ path: [...path, "mirrors", index], message })),
    )
    const realms = [...(upstream.realms ?? []).entries()].filter(([, realm]) => !isHost(realm))
    return [
      ...(isHost(host) ? [] : [{ path, message: 'expected a host, like "ghcr.io" or "127.0.0.1:5000"' }]),
      ...(same === undefined ? [] : [{ path, message: `is the same host as ${JSON.stringify(same)}` }]),
      ...mirrors,
      ...realms.map(([index]) => ({ path: [...path, "realms", index], message: "is no host" })),
      ...halfLogin(upstream).map((message) => ({ path, message })),
    ]
  })
}

const HOST_PATTERN = new RegExp(HOST)
const isHost = (text: string): boolean => HOST_PATTERN.test(text) && URL.canParse(`https://${text}`)

function mirrorProblems(mirror: string): readonly string[] {
  const url = URL.parse(mirror)
  if (url === null) return ["is no URL"]
  if (url.username !== "" || url.password !== "") return ['holds a login; put it into "upstreams" of its own host']
  return url.search === "" && url.hash === "" ? [] : ["expected a URL without ? and #"]
}

function halfLogin({ username = "", passwordFile = "" }: UpstreamSection): readonly string[] {
  if (username !== "" && passwordFile === "") return ['"username" needs "passwordFile"']
  return username === "" && passwordFile !== "" ? ['"passwordFile" needs "username"'] : []
}
