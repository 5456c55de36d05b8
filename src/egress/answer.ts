import { RegistryError } from "../oci/error.ts"
import { EgressError } from "./egress.ts"
import { StatusError } from "./open-range.ts"

/** Turns an answer that is no success into what the client is told: the reference, the host, its status, a hint. */
export function refusedAnswer(what: string, host: string, status: number, headers: Headers): RegistryError {
  const text = `${what}: ${host} answered ${status}`
  if (status === 401 || status === 403) {
    return new RegistryError(
      "DENIED",
      `${text}; check that the repository exists, and that the credentials for ${host} may read it`,
      {
        detail: "upstream_auth",
      },
    )
  }
  const asked = readRetryAfter(headers)
  const wait = { retryAfterSeconds: asked ?? 2, askedMs: (asked ?? 0) * 1000, culprit: host }
  if (status === 429)
    return new RegistryError(
      "TOOMANYREQUESTS",
      `${text}; its limit of requests is reached, credentials or a mirror may raise it`,
      wait,
    )
  if (status >= 500 || status === 408 || status === 425)
    return new RegistryError("UNAVAILABLE", `${text}; try again`, wait)
  const isOdd = status < 400 || status === 416
  return new RegistryError(isOdd ? "UNAVAILABLE" : "UNKNOWN", `${text}, which is not understood; is it a registry?`, {
    status: 502,
  })
}

/** Seconds to wait, from either form of Retry-After (RFC 9110, 10.2.3). Null: absent or not understood. */
export function parseRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null
  if (/^\d{1,9}$/.test(header.trim())) return Number(header)
  // Other texts are dates to JavaScript as well: "-1" is one
  const date = /^\s*[A-Z][a-z]{2,8},? /.test(header) ? Date.parse(header) : Number.NaN
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - now) / 1000))
}

/** Seconds that an answer asks to wait, by the peer's own clock where it tells a date. Null: it asks for nothing. */
export function readRetryAfter(headers: Headers): number | null {
  const now = Date.parse(headers.get("date") ?? "")
  return parseRetryAfter(headers.get("retry-after"), Number.isNaN(now) ? Date.now() : now)
}

function refusedContent(what: string, { host, status, headers, isRedirected }: StatusError): RegistryError {
  if (isRedirected && status < 500 && status !== 429) {
    // Storage behind a registry refuses URLs that have expired; the registry gives a new one when asked again
    const message = `${what}: the storage at ${host}, where it is redirected to, answered ${status}`
    return new RegistryError("UNAVAILABLE", message, { detail: "upstream_redirect" })
  }
  if (status === 404 || status === 410) return new RegistryError("BLOB_UNKNOWN", `${what}: ${host} does not have it`)
  return refusedAnswer(what, host, status, headers)
}

/** Turns a request to `host` that failed into what the client is told. Throws what is no failure of a request. */
export function failedRequest(what: string, host: string, error: unknown): RegistryError {
  if (error instanceof RegistryError) return error
  if (error instanceof StatusError) return refusedContent(what, error)
  if (!(error instanceof EgressError)) throw error
  const text = `${what}: ${error.message}`
  const { askedMs } = error
  const wait = {
    retryAfterSeconds: Math.max(2, Math.ceil(askedMs / 1000)),
    askedMs,
    culprit: host,
    cause: error,
  }
  switch (error.fault) {
    case "denied":
      return new RegistryError("DENIED", text, { detail: "egress", cause: error })
    case "tls":
      return new RegistryError("UNAVAILABLE", `${text}; does "upstreams" need a "ca" or "plainHTTP" for it?`, {
        detail: "upstream_tls",
        cause: error,
      })
    case "busy":
      return new RegistryError("TOOMANYREQUESTS", text, wait)
    case "silent":
      return new RegistryError("UNAVAILABLE", text, { ...wait, status: 504 })
    case "network":
    case "answer":
      return new RegistryError("UNAVAILABLE", text, wait)
    default:
      return error.fault satisfies never
  }
}
