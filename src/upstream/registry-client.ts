import { failedRequest } from "../egress/answer.ts"
import type { Egress, EgressResponse } from "../egress/egress.ts"
import { RegistryError } from "../oci/error.ts"
import { formatRepository, type Repository } from "../oci/reference.ts"
import type { Metrics, UpstreamKind } from "../telemetry/metrics.ts"
import { type Challenge, parseChallenges } from "./challenge.ts"
import { basicAuthorization, type Keychain } from "./keychain.ts"
import type { TokenCache, TokenRequest } from "./token.ts"

/** One server that speaks the distribution API. */
export interface Endpoint {
  /** With scheme and port; a path comes before `/v2/`. */
  readonly baseURL: URL
  /** The registry that this one mirrors, told with every request (as containerd does); null for the registry itself. */
  readonly mirrorOf: string | null
  /** Metric label: the host where an operator has named it, else "other". */
  readonly label: string
}

export interface RegistryRequest {
  readonly repository: Repository
  readonly kind: UpstreamKind
  readonly method: "GET" | "HEAD"
  /** Below `/v2/<name>/`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** What is being done, for messages: "Cannot get ...". */
  readonly what: string
}

export interface RegistryClientOptions {
  readonly endpoint: Endpoint
  readonly egress: Egress
  readonly keychain: Keychain
  readonly tokens: TokenCache
  readonly metrics: Metrics
}

/** How a host wants to be asked; learnt from its first 401. */
type Login =
  | { readonly kind: "basic" }
  | { readonly kind: "bearer"; readonly realm: URL; readonly service: string | null }

interface Refused {
  readonly response: EgressResponse
  /** What was sent and not accepted. */
  readonly authorization: string | null
}

const MAX_CHALLENGES = 2

/** Requests to one registry, with the login that it asks for. Safe for concurrent use. */
export class RegistryClient {
  readonly #options: RegistryClientOptions
  #login: Login | null = null

  constructor(options: RegistryClientOptions) {
    this.#options = options
  }

  get host(): string {
    return this.#options.endpoint.baseURL.host
  }

  /** Rejects with RegistryError when there is no answer, or login fails. */
  async request(request: RegistryRequest, signal: AbortSignal): Promise<EgressResponse> {
    try {
      return await this.#withLogin(request, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw failedRequest(request.what, error)
    }
  }

  async #withLogin(request: RegistryRequest, signal: AbortSignal): Promise<EgressResponse> {
    for (let challenges = 0; ; challenges += 1) {
      const authorization = await this.#authorization(request, signal)
      const response = await this.#send(request, authorization, signal)
      if (response.status !== 401 || response.isRedirected || challenges === MAX_CHALLENGES) return response
      await response.body?.cancel()
      await this.#learn(request, { response, authorization }, signal)
    }
  }

  async #send(request: RegistryRequest, authorization: string | null, signal: AbortSignal): Promise<EgressResponse> {
    const { egress, endpoint, metrics } = this.#options
    const url = endpointURL(endpoint, request)
    const { kind, method, headers = {} } = request
    try {
      const response = await egress({ method, url, headers, authorization }, signal)
      metrics.upstreamRequests.inc({ host: endpoint.label, kind, code: response.status })
      return response
    } catch (error) {
      metrics.upstreamRequests.inc({ host: endpoint.label, kind, code: "error" })
      throw error
    }
  }

  async #authorization({ repository, what }: RegistryRequest, signal: AbortSignal): Promise<string | null> {
    if (this.#login === null) return null
    const credential = await this.#options.keychain(repository, signal)
    if (this.#login.kind === "basic") return credential === null ? null : basicAuthorization(credential)
    const request = this.#tokenRequest(this.#login, repository, credential)
    return await this.#options.tokens
      .authorization(request, signal)
      .catch((error) => Promise.reject(about(what, error)))
  }

  #tokenRequest(
    login: Extract<Login, { kind: "bearer" }>,
    repository: Repository,
    credential: TokenRequest["credential"],
  ): TokenRequest {
    const { realm, service } = login
    const { baseURL, label } = this.#options.endpoint
    return { registry: baseURL, label, realm, service, scope: `repository:${repository.path}:pull`, credential }
  }

  /** The registry refused what it was given, so that is forgotten and what it asks for is learnt. */
  async #learn(request: RegistryRequest, { response, authorization }: Refused, signal: AbortSignal): Promise<void> {
    const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "")
    const login = challenges.map(readLogin).find((candidate) => candidate !== null)
    if (login === undefined) throw this.#refusal(request, "does not say how to log in")
    const credential = await this.#options.keychain(request.repository, signal)
    if (login.kind === "bearer")
      this.#options.tokens.forget(this.#tokenRequest(login, request.repository, credential), authorization)
    else if (credential === null) throw this.#refusal(request, "wants a user and a password, and there are none for it")
    else if (authorization !== null) throw this.#refusal(request, "does not accept the user and password")
    this.#login = login
  }

  #refusal({ what, repository }: RegistryRequest, reason: string): RegistryError {
    const message = `${what}: ${this.host} ${reason}; check the credentials for ${formatRepository(repository)}`
    return new RegistryError("DENIED", message, { detail: "upstream_auth" })
  }
}

/** Tokens are fetched for many requests, so their failures do not name the one that is told of them. */
function about(what: string, error: unknown): unknown {
  if (!(error instanceof RegistryError)) return error
  const { askedMs, code, detail, message, retryAfterSeconds, status } = error
  return new RegistryError(code, `${what}: ${message}`, {
    status,
    askedMs,
    ...(detail === null ? {} : { detail }),
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
    cause: error,
  })
}

function endpointURL({ baseURL, mirrorOf }: Endpoint, { repository, path }: RegistryRequest): URL {
  const url = new URL(baseURL)
  url.pathname = `${baseURL.pathname.replace(/\/+$/, "")}/v2/${repository.path}/${path}`
  if (mirrorOf !== null) url.searchParams.set("ns", mirrorOf)
  return url
}

/** Null: a scheme that is not supported, or a realm that is no URL. */
function readLogin({ scheme, parameters }: Challenge): Login | null {
  if (scheme === "basic") return { kind: "basic" }
  const realm = URL.parse(parameters["realm"] ?? "")
  if (scheme !== "bearer" || realm === null) return null
  return { kind: "bearer", realm, service: parameters["service"] ?? null }
}
