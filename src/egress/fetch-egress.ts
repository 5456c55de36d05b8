import type { Clock } from "../lib/clock.ts"
import { redactUrl } from "../lib/redact.ts"
import { type Egress, EgressError, type EgressFault, type EgressRequest, type EgressResponse } from "./egress.ts"
import { watchBody } from "./watch-body.ts"

export interface HostSettings {
  readonly insecureSkipVerify: boolean
  /** PEM certificates that are trusted besides the system's. */
  readonly ca: string | null
}

export interface FetchEgressOptions {
  readonly clock: Clock
  /** From the request to the first byte of its answer. */
  readonly firstByteMs: number
  /** Between two pieces of a body. */
  readonly progressMs: number
  readonly hostSettings: (host: string) => HostSettings
  /** Hosts (with port, if any) that may be reached without TLS even from an encrypted connection. */
  readonly allowsPlainHTTP: (host: string) => boolean
}

const MAX_REDIRECTS = 5
const REDIRECTS = new Set([301, 302, 303, 307, 308])

export function createEgress(options: FetchEgressOptions): Egress {
  return async (request, signal) => {
    let url = request.url
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      checkScheme(url)
      const response = await send(request, url, options, signal)
      const next = redirectTarget(response, url)
      if (next === null) return await answered(response, { request, url, options, signal })
      await response.body?.cancel()
      checkDowngrade(url, next, options)
      url = next
    }
    throw new EgressError("answer", `${request.url.host} redirected more than ${MAX_REDIRECTS} times`)
  }
}

function checkScheme(url: URL): void {
  if (url.protocol === "http:" || url.protocol === "https:") return
  throw new EgressError("denied", `${redactUrl(url)} is neither http nor https`)
}

function checkDowngrade(from: URL, to: URL, { allowsPlainHTTP }: FetchEgressOptions): void {
  if (from.protocol !== "https:" || to.protocol !== "http:" || allowsPlainHTTP(to.host)) return
  throw new EgressError("denied", `${from.host} redirected to ${to.host} without encryption`)
}

function redirectTarget(response: Response, from: URL): URL | null {
  const location = response.headers.get("location")
  if (!REDIRECTS.has(response.status) || location === null) return null
  const target = URL.parse(location, from.href)
  if (target === null) throw new EgressError("answer", `${from.host} redirected to something that is no URL`)
  return target
}

async function send(
  request: EgressRequest,
  url: URL,
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
    return await fetch(url.href, { ...fetchOptions(request, url, options), signal: abort.signal })
  } catch (error) {
    throw abort.signal.aborted ? abort.signal.reason : failure(url, error)
  } finally {
    timer.abort()
    signal.removeEventListener("abort", follow)
  }
}

/** Offsets and digests are of the bytes as stored, so nothing may be encoded on the way. */
function fetchOptions(request: EgressRequest, url: URL, { hostSettings }: FetchEgressOptions): BunFetchRequestInit {
  const { ca, insecureSkipVerify } = hostSettings(url.host)
  const isOwnOrigin = url.origin === request.url.origin
  const authorization = isOwnOrigin ? (request.authorization ?? null) : null
  return {
    method: request.method,
    redirect: "manual",
    decompress: false,
    headers: {
      "user-agent": "registry-facade",
      "accept-encoding": "identity",
      ...request.headers,
      ...(authorization === null ? {} : { authorization }),
    },
    tls: { rejectUnauthorized: !insecureSkipVerify, ...(ca === null ? {} : { ca }) },
  }
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
  const { progressMs, clock } = options
  const hasBody = request.method !== "HEAD" && body !== null
  const isRedirected = url.origin !== request.url.origin
  return {
    status,
    headers,
    url,
    isRedirected,
    body: hasBody ? watchBody(body, { host: url.host, progressMs, clock, signal }) : null,
  }
}

const TLS_CODES = /CERT|TLS|SSL|SELF_SIGNED|UNABLE_TO_VERIFY/

function failure(url: URL, error: unknown): EgressError {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  const fault: EgressFault = TLS_CODES.test(code) ? "tls" : "network"
  return new EgressError(
    fault,
    `${url.host} cannot be reached: ${code || (error instanceof Error ? error.name : "unknown error")}`,
    {
      cause: error,
    },
  )
}
