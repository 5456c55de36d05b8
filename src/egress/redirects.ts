import { type Egress, EgressError, type EgressRequest, type EgressResponse } from "./egress.ts"

export interface RedirectOptions {
  /** Hosts (with port, if any) that may be reached without TLS even from an encrypted connection. */
  readonly allowsPlainHTTP: (host: string) => boolean
}

const MAX_REDIRECTS = 5
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** Follows redirects by hand: every hop is a request of its own, judged anew, and credentials stay where they belong. */
export function followRedirects(egress: Egress, { allowsPlainHTTP }: RedirectOptions): Egress {
  return async (request, signal) => {
    let hop: EgressRequest = request
    for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
      const response = await egress(hop, signal)
      const location = redirectLocation(response)
      if (location === null) return { ...response, isRedirected: response.url.origin !== request.url.origin }
      await response.body?.cancel()
      const next = redirectTarget(location, response.url)
      checkHop(request, hop.url, next, allowsPlainHTTP)
      hop = nextHop(request, hop, next)
    }
    throw new EgressError("answer", `${request.url.host} redirected more than ${MAX_REDIRECTS} times`)
  }
}

function checkHop(
  { method }: EgressRequest,
  from: URL,
  to: URL,
  allowsPlainHTTP: RedirectOptions["allowsPlainHTTP"],
): void {
  if (method !== "GET" && method !== "HEAD")
    throw new EgressError("denied", `${from.host} redirected a ${method}, which is sent nowhere else`)
  if (from.protocol === "https:" && to.protocol === "http:" && !allowsPlainHTTP(to.host))
    throw new EgressError("denied", `${from.host} redirected to ${to.host} without encryption`)
}

/** Built from nothing but what any origin may see. */
function nextHop(
  { method, headers, url, limit, authorization = null }: EgressRequest,
  from: EgressRequest,
  to: URL,
): EgressRequest {
  const isOwn = to.origin === url.origin
  return {
    method,
    url: to,
    ...(headers === undefined ? {} : { headers }),
    ...(limit === undefined ? {} : { limit }),
    ...(isOwn ? { authorization, via: from.via ?? null } : { via: from.url }),
  }
}

const redirectLocation = ({ headers, status }: EgressResponse): string | null =>
  REDIRECTS.has(status) ? headers.get("location") : null

function redirectTarget(location: string, url: URL): URL {
  const target = URL.parse(location, url.href)
  if (target === null) throw new EgressError("answer", `${url.host} redirected to something that is no URL`)
  target.username = "" // they would be sent as credentials
  target.password = ""
  return target
}
