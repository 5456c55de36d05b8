import { LRUCache } from "lru-cache"
import { readRetryAfter } from "../egress/answer.ts"
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
  /** Hosts of token servers elsewhere that its credentials may be sent to. */
  readonly realms: readonly string[]
  /** Metric label of the registry. */
  readonly label: string
  readonly realm: URL
  readonly service: string | null
  readonly scope: string
  readonly credential: Credential | null
}

export interface Token {
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
  /** Those of an earlier cache. */
  readonly tokens?: LRUCache<string, Token>
}

/** Bearer tokens, fetched once for everyone who needs the same one, and renewed before they expire. */
export class TokenCache {
  readonly #options: TokenCacheOptions
  readonly #tokens: LRUCache<string, Token>
  readonly #flights = new SingleFlight<string, Token>()

  constructor(options: TokenCacheOptions) {
    this.#options = options
    this.#tokens = options.tokens ?? new LRUCache({ max: 10_000 })
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
    const { registry, realm, realms, credential } = request
    if (credential !== null && !isTrustedRealm(registry, realm, realms)) {
      const message = `Cannot log in to ${registry.host}: it sends clients to ${realm.host} for tokens, which is not known to belong to it; if it does, name it in "realms" of this upstream`
      throw new RegistryError("DENIED", message, { detail: "upstream_auth" })
    }
    const response = await this.#send(request, tokenRequest(request), signal)
    if (response.status !== 200) {
      await response.body?.cancel()
      throw refusal(request, response)
    }
    return this.#parse(await readAnswer(request, response), registry.host, realm)
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
        culprit: realm.host,
        retryAfterSeconds: 5,
      })
    }
    return { value: token, expiresAt: this.#options.clock.now() + Math.max(seconds, DEFAULT_SECONDS) * 0.8 * 1000 }
  }
}

/** Docker's names: `service` tells the registry, `client_id` is for the server's log. */
function tokenRequest({ registry, realm, service, scope, credential }: TokenRequest): EgressRequest {
  const parameters = { ...(service === null ? {} : { service }), scope }
  if (credential?.kind === "refresh") {
    const grant = { grant_type: "refresh_token", refresh_token: credential.token, client_id: "registry-facade" }
    const headers = { "content-type": "application/x-www-form-urlencoded" }
    const body = new URLSearchParams({ ...grant, ...parameters }).toString()
    return { method: "POST", url: realm, via: registry, headers, body }
  }
  const url = new URL(realm)
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  const authorization =
    credential?.kind === "password" ? basicAuthorization(credential.username, credential.password) : null
  return { method: "GET", url, via: registry, authorization }
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

async function readAnswer({ registry, realm }: TokenRequest, { body }: EgressResponse): Promise<string> {
  if (body === null) return ""
  return await readText(body, MAX_ANSWER_BYTES).catch((error) => {
    if (!(error instanceof RangeError)) throw error
    const text = `Cannot log in to ${registry.host}: its token server ${realm.host} answered with too much for a token`
    throw new RegistryError("UNAVAILABLE", text, { retryAfterSeconds: 5, cause: error })
  })
}

function safeParse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

function refusal({ registry, realm, credential }: TokenRequest, { status, headers }: EgressResponse): RegistryError {
  const { host } = registry
  const text = `Cannot log in to ${host}: its token server ${realm.host} answered ${status}`
  const asked = readRetryAfter(headers)
  const wait = { retryAfterSeconds: asked ?? 2, askedMs: (asked ?? 0) * 1000, culprit: realm.host }
  if (status === 429) return new RegistryError("TOOMANYREQUESTS", `${text}: too many requests`, wait)
  if (status >= 500) return new RegistryError("UNAVAILABLE", `${text}; try again`, wait)
  if (credential?.kind === "refresh" && (status === 404 || status === 405)) {
    const message = `${text}: it takes no identity tokens; use a user and a password for ${host}`
    return new RegistryError("DENIED", message, { detail: "upstream_auth" })
  }
  return new RegistryError("DENIED", `${text}: check the credentials for ${host}`, { detail: "upstream_auth" })
}
