import type { Clock } from "../lib/clock.ts"
import type { Dialer } from "./dialer.ts"
import { type Egress, EgressError, type EgressFault, type EgressRequest, type EgressResponse } from "./egress.ts"
import type { Guard } from "./guard.ts"
import { findProxy, type ProxySettings } from "./proxy.ts"
import { watchBody } from "./watch-body.ts"

export interface HostSettings {
  readonly insecureSkipVerify: boolean
  /** PEM certificates that are trusted besides the system's. */
  readonly ca: string | null
}

export interface FetchEgressOptions {
  readonly clock: Clock
  readonly dialer: Dialer
  readonly guard: Guard
  readonly proxies: ProxySettings
  /** From the request to the first byte of its answer. */
  readonly firstByteMs: number
  /** Between two pieces of a body. */
  readonly progressMs: number
  /** Fewer bytes than this within `trickleMs` are silence, too. */
  readonly trickleBytes: number
  readonly trickleMs: number
  readonly hostSettings: (host: string) => Promise<HostSettings>
}

/** One request to one origin; redirects are answers like others. */
export function fetchEgress(options: FetchEgressOptions): Egress {
  return async (request, signal) => {
    const { url } = request
    const init = await requestInit(request, options, signal)
    const response = await send(request, init, options, signal)
    if (response.status === 407 && init.proxy !== null) await refusedByProxy(response, init.proxy)
    return await answered(response, { request, url, options, signal })
  }
}

interface Target {
  /** What is connected to: the origin by its address, or the origin itself through a proxy. */
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly serverName: string | null
  readonly proxy: URL | null
}

/** Names are resolved and judged here; a proxy resolves them itself, and all we can do is judge them as well. */
async function findTarget(request: EgressRequest, options: FetchEgressOptions, signal: AbortSignal): Promise<Target> {
  const { url } = request
  const proxy = findProxy(options.proxies, url)
  if (proxy !== null) {
    await options.guard.addresses(request, signal).catch((error) => {
      if (error instanceof EgressError && error.fault === "denied") throw error
    })
    return { url, headers: {}, serverName: null, proxy }
  }
  const addresses = await options.guard.addresses(request, signal)
  const address = await options.dialer.dial(url, addresses, signal)
  const pinned = new URL(url)
  pinned.hostname = address.includes(":") ? `[${address}]` : address
  const isLiteral = pinned.hostname === url.hostname
  return {
    url: pinned,
    headers: isLiteral ? {} : { host: url.host },
    serverName: isLiteral ? null : url.hostname,
    proxy: null,
  }
}

interface Init {
  readonly href: string
  readonly proxy: URL | null
  readonly init: BunFetchRequestInit
}

/** Offsets and digests are of the bytes as stored, so nothing may be encoded on the way. */
async function requestInit(request: EgressRequest, options: FetchEgressOptions, signal: AbortSignal): Promise<Init> {
  const target = await findTarget(request, options, signal)
  const { ca, insecureSkipVerify } = await options.hostSettings(request.url.host)
  const { authorization = null, body = null, headers, method } = request
  const tls = {
    rejectUnauthorized: !insecureSkipVerify,
    ...(ca === null ? {} : { ca }),
    ...(target.serverName === null ? {} : { serverName: target.serverName }),
  }
  const init: BunFetchRequestInit = {
    method,
    ...(body === null ? {} : { body }),
    redirect: "manual",
    decompress: false,
    headers: {
      "user-agent": "registry-facade",
      "accept-encoding": "identity",
      "cache-control": "no-transform",
      ...headers,
      ...target.headers,
      ...(authorization === null ? {} : { authorization }),
    },
    tls,
    ...(target.proxy === null ? {} : { proxy: target.proxy.href }),
  }
  return { href: target.url.href, init, proxy: target.proxy }
}

async function send(
  { url }: EgressRequest,
  { href, init, proxy }: Init,
  options: FetchEgressOptions,
  signal: AbortSignal,
): Promise<Response> {
  const abort = new AbortController()
  const follow = () => abort.abort(signal.reason)
  signal.addEventListener("abort", follow, { once: true })
  const timer = new AbortController()
  const silence = new EgressError("silent", `${url.host} did not answer within ${options.firstByteMs / 1000} s`)
  options.clock.sleep(options.firstByteMs, timer.signal).then(
    () => abort.abort(silence),
    () => {},
  )
  try {
    signal.throwIfAborted()
    return await fetch(href, { ...init, signal: abort.signal })
  } catch (error) {
    options.dialer.forget(url)
    throw abort.signal.aborted ? abort.signal.reason : failure(url, proxy, error)
  } finally {
    timer.abort()
    signal.removeEventListener("abort", follow)
  }
}

async function refusedByProxy(response: Response, proxy: URL): Promise<never> {
  await response.body?.cancel()
  const hint = "put a user and a password into HTTP_PROXY and HTTPS_PROXY"
  throw new EgressError("denied", `the proxy ${proxy.host} answered 407; ${hint}`)
}

interface Answered {
  readonly request: EgressRequest
  readonly url: URL
  readonly options: FetchEgressOptions
  readonly signal: AbortSignal
}

async function answered(response: Response, { request, url, options, signal }: Answered): Promise<EgressResponse> {
  const { body, headers, ok, status } = response
  const encoding = headers.get("content-encoding")
  if (ok && encoding !== null && encoding.toLowerCase() !== "identity") {
    await body?.cancel()
    throw new EgressError("answer", `${url.host} sent the content encoded as ${JSON.stringify(encoding.slice(0, 40))}`)
  }
  const hasBody = request.method !== "HEAD" && body !== null
  return {
    status,
    headers,
    url,
    isRedirected: false,
    body: hasBody ? watchBody(body, { ...options, host: url.host, signal }) : null,
  }
}

const TLS_CODES = /CERT|TLS|SSL|EPROTO|SELF_SIGNED|UNABLE_TO_VERIFY/

function failure(url: URL, proxy: URL | null, error: unknown): EgressError {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  const fault: EgressFault = TLS_CODES.test(code) ? "tls" : "network"
  const through = proxy === null ? "" : ` through the proxy ${proxy.host}`
  const reason = code || (error instanceof Error ? error.name : "unknown error")
  return new EgressError(fault, `${url.host} cannot be reached${through}: ${reason}`, { cause: error })
}
