import { RegistryError } from "../oci/error.ts"
import { warningHeader } from "./warning.ts"

/** RFC 7617. The name is for people: clients show it where they ask for a password. */
const CHALLENGE = 'Basic realm="registry-facade"'

/** distribution-spec: "Error Codes". HEAD gets the headers alone. */
export function errorResponse(
  error: RegistryError,
  method: string,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const { code, detail, message, retryAfterSeconds, status } = error
  const body = JSON.stringify({ errors: [{ code, message, ...(detail === null ? {} : { detail }) }] })
  const all = {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
    ...(status === 401 ? { "www-authenticate": CHALLENGE } : {}),
    ...(status === 405 ? { allow: "GET, HEAD" } : {}),
    // Clients print the body of a 4xx, but of a 5xx only the status
    ...(status >= 500 ? { warning: warningHeader(message) } : {}),
    ...(retryAfterSeconds === null ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
    ...headers,
  }
  return new Response(method === "HEAD" ? null : body, { status, headers: all })
}

/** Failures of the machine that are over in a moment, by the code of the system call. */
const PASSING: Readonly<Record<string, string>> = {
  ENOENT: "The content has just been removed from the store, try again",
  EMFILE: "The registry has too many files open, try again",
  ENFILE: "The machine has too many files open, try again",
}

/** What the client is told of a failure that was not meant for it: whether to come back, and nothing else. */
export function internalError(error: unknown): RegistryError {
  const message = error instanceof Error && "code" in error ? PASSING[String(error.code)] : undefined
  if (message !== undefined) return new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 1 })
  return new RegistryError("UNKNOWN", "The registry has failed to answer; its log tells why")
}
