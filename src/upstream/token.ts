import { LRUCache } from "lru-cache"
import type { Egress, EgressRequest, EgressResponse } from "../egress/egress.ts"
import type { Clock } from "../lib/clock.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import { readText } from "../lib/stream.ts"
import { RegistryError } from "../oci/error.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { basicAuthorization, type Credential, credentialFingerprint } from "./keychain.ts"
import { isTrustedRealm } from "./realm.ts"

export interface TokenRequest {
  /** That asks for the token. */
  readonly registry: URL
  /** Metric label of the registry. */
  readonly label: string
  readonly realm: URL
  readonly service: string | null
  readonly scope: string
  readonly credential: Credential | null
}

interface Token {
  readonly value: string
  readonly expiresAt: number
}

const MAX_ANSWER_BYTES = 1024 * 1024
/** Token specification of the distribution project: at least this long where a server does not say. */
const DEFAULT_SECONDS = 60

export interface TokenCacheOptions {
  readonly egress: Egress
  readonly clock: Clock
  readonly metrics: Metrics
}

/** Bearer tokens, fetched once for everyone who needs the same one, and renewed before they expire. */
export class TokenCache {
  readonly #options: TokenCacheOptions
  readonly #tokens = new LRUCache<string, Token>({ max: 10_000 })
  readonly #flights = new SingleFlight<string, Token>()

  constructor(options: TokenCacheOptions) {
    this.#options = options
  }

  /** The value for Authorization. Rejects with RegistryError when the server gives no token. */
  async authorization(request: TokenRequest, signal: AbortSignal): Promise<string> {
    const key = tokenKey(request)
    const known = this.#tokens.get(key)
    if (known !== undefined && known.expiresAt > this.#options.clock.now()) return `Bearer ${known.value}`
    const token = await this.#flights.run(key, (flight) => this.#fetch(request, flight), signal)
    this.#tokens.set(key, token)
    return `Bearer ${token.value}`
  }

  /** The registry did not take this token, so the next request gets a new one, if nobody has got one meanwhile. */
  forget(request: TokenRequest, refused: string | null): void {
    const key = tokenKey(request)
    if (refused === `Bearer ${this.#tokens.peek(key)?.value}`) this.#tokens.delete(key)
  }

  async #fetch(request: TokenRequest, signal: AbortSignal): Promise<Token> {
    const { registry, realm, service, scope, credential } = request
    const url = new URL(realm)
    if (service !== null) url.searchParams.set("service", service)
    url.searchParams.set("scope", scope)
    if (credential !== null && !isTrustedRealm(registry, realm)) {
      const message = `Cannot log in to ${registry.host}: it sends clients to ${realm.host} for tokens, which is not known to belong to it`
      throw new RegistryError("DENIED", message, { detail: "upstream_auth" })
    }
    const authorization = credential === null ? null : basicAuthorization(credential)
    const response = await this.#send(request, { method: "GET", url, via: registry, authorization }, signal)
    const text = response.body === null ? "" : await readText(response.body, MAX_ANSWER_BYTES)
    if (response.status !== 200) throw refusal(registry.host, realm, response.status)
    return this.#parse(text, registry.host, realm)
  }

  async #send({ label }: TokenRequest, request: EgressRequest, signal: AbortSignal): Promise<EgressResponse> {
    const { egress, metrics } = this.#options
    try {
      const response = await egress(request, signal)
      metrics.upstreamRequests.inc({ host: label, kind: "token", code: response.status })
      return response
    } catch (error) {
      metrics.upstreamRequests.inc({ host: label, kind: "token", code: "error" })
      throw error
    }
  }

  #parse(text: string, host: string, realm: URL): Token {
    const { token, seconds } = readToken(text)
    if (token === null) {
      throw new RegistryError("UNAVAILABLE", `Cannot log in to ${host}: ${realm.host} answered without a token`, {
        retryAfterSeconds: 5,
      })
    }
    return { value: token, expiresAt: this.#options.clock.now() + Math.max(seconds, DEFAULT_SECONDS) * 0.8 * 1000 }
  }
}

const tokenKey = ({ registry, realm, service, scope, credential }: TokenRequest): string =>
  [registry.origin, realm.href, service ?? "", scope, credentialFingerprint(credential)].join("\n")

function readToken(text: string): { readonly token: string | null; readonly seconds: number } {
  const answer: unknown = safeParse(text)
  if (typeof answer !== "object" || answer === null) return { token: null, seconds: 0 }
  const { token, access_token, expires_in } = answer as Record<string, unknown>
  const value = [token, access_token].find(
    (candidate) => typeof candidate === "string" && /^[\x21-\x7e]+$/.test(candidate),
  )
  return { token: typeof value === "string" ? value : null, seconds: typeof expires_in === "number" ? expires_in : 0 }
}

function safeParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function refusal(host: string, realm: URL, status: number): RegistryError {
  const text = `Cannot log in to ${host}: its token server ${realm.host} answered ${status}`
  if (status === 429)
    return new RegistryError("TOOMANYREQUESTS", `${text}: too many requests`, { retryAfterSeconds: 10 })
  if (status >= 500) return new RegistryError("UNAVAILABLE", text, { retryAfterSeconds: 2 })
  return new RegistryError("DENIED", `${text}: check the credentials for ${host}`, { detail: "upstream_auth" })
}
