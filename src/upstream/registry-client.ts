import { failedRequest } from "../egress/answer.ts"
import type { Egress, EgressResponse } from "../egress/egress.ts"
import type { Clock } from "../lib/clock.ts"
import { RegistryError } from "../oci/error.ts"
import { formatRepository, type Repository } from "../oci/reference.ts"
import type { UpstreamKind } from "../telemetry/labels.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { parseChallenges } from "./challenge.ts"
import { type Credential, credentialFingerprint, type Keychain } from "./keychain.ts"
import { directAuthorization, type Login, readLogin } from "./login.ts"
import { LoginMemory, type TellRefusal } from "./login-memory.ts"
import { readRateLimit } from "./rate-limit.ts"
import type { TokenCache, TokenRequest } from "./token.ts"

/** One server that speaks the distribution API. */
export interface Endpoint {
  /** With scheme and port; a path comes before `/v2/`. */
  readonly baseURL: URL
  /** The registry that this one mirrors, told with every request (as containerd does); null for the registry itself. */
  readonly mirrorOf: string | null
  /** Hosts of token servers elsewhere that its credentials may be sent to. */
  readonly realms: readonly string[]
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
  readonly clock: Clock
  /** How long a credential that was refused for a repository is not tried again. */
  readonly refusedMs: number
  /** Of an earlier client of the same endpoint. */
  readonly memory?: LoginMemory
}

/** What goes with a request, and what it was made of. */
interface Pass {
  readonly credential: Credential | null
  readonly authorization: string | null
}

const MAX_CHALLENGES = 2

/** Requests to one registry, with the login that it asks for. Safe for concurrent use. */
export class RegistryClient {
  readonly #options: RegistryClientOptions
  readonly #memory: LoginMemory

  constructor(options: RegistryClientOptions) {
    this.#options = options
    this.#memory = options.memory ?? new LoginMemory()
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
      throw failedRequest(request.what, this.host, error)
    }
  }

  async #withLogin(request: RegistryRequest, signal: AbortSignal): Promise<EgressResponse> {
    for (let challenges = 0; ; challenges += 1) {
      const pass = await this.#pass(request, signal)
      const response = await this.#send(request, pass.authorization, signal)
      if (response.status !== 401 || response.isRedirected) {
        this.#noteAccepted(request, pass, response)
        return response
      }
      if (challenges === MAX_CHALLENGES) {
        const reason =
          pass.credential === null
            ? "lets nobody read it without a login, or it does not exist"
            : "does not accept the tokens of its token server"
        this.#refuse(request, pass, (other) => this.#refusal(other, reason))
        return response
      }
      await response.body?.cancel()
      await this.#learn(request, response.headers.get("www-authenticate") ?? "", pass, signal)
    }
  }

  /** The credential was looked at, and is good: what is missing is told to those alone who may know. */
  #noteAccepted(request: RegistryRequest, { credential }: Pass, { isRedirected, status }: EgressResponse): void {
    if (!isRedirected && status >= 400 && status !== 404 && status !== 416) return
    this.#memory.accepted.set(passKey(request, credential), this.#options.clock.now())
  }

  async #send(request: RegistryRequest, authorization: string | null, signal: AbortSignal): Promise<EgressResponse> {
    const { egress, endpoint, metrics } = this.#options
    const url = endpointURL(endpoint, request)
    const { kind, method, headers = {} } = request
    const startedAt = performance.now()
    try {
      const response = await egress({ method, url, headers, authorization }, signal)
      metrics.upstreamRequests.inc({ host: endpoint.label, kind, code: response.status })
      metrics.original.asked(kind, (performance.now() - startedAt) / 1000)
      this.#measure(response)
      return response
    } catch (error) {
      metrics.upstreamRequests.inc({ host: endpoint.label, kind, code: "error" })
      metrics.original.notAnswered(kind)
      throw error
    }
  }

  #measure({ headers }: EgressResponse): void {
    const { endpoint, metrics } = this.#options
    const { limit, remaining } = readRateLimit(headers)
    if (endpoint.label === "other") return // a number that nobody could assign
    if (limit !== null) metrics.rateLimit.set({ host: endpoint.label }, limit)
    if (remaining !== null) metrics.rateLimitRemaining.set({ host: endpoint.label }, remaining)
  }

  async #pass(request: RegistryRequest, signal: AbortSignal): Promise<Pass> {
    const login = this.#memory.loginOf(request.repository)
    if (login === null) return { credential: null, authorization: null }
    const credential = await this.#options.keychain.find(request.repository, signal)
    this.#throwIfRefused(request, credential)
    const direct = directAuthorization(login, credential)
    if (direct !== null || login.kind === "basic") return { credential, authorization: direct }
    return await this.#token(request, login, credential, signal)
  }

  /** A token server may refuse what a keychain only remembers; then it is asked once more with what is known now. */
  async #token(
    request: RegistryRequest,
    login: Extract<Login, { kind: "bearer" }>,
    credential: Credential | null,
    signal: AbortSignal,
  ): Promise<Pass> {
    const { tokens } = this.#options
    const get = async (used: Credential | null): Promise<Pass> => ({
      credential: used,
      authorization: await tokens.authorization(this.#tokenRequest(login, request.repository, used), signal),
    })
    try {
      return await get(credential).catch(async (error) => {
        const renewed = isRefusal(error) ? await this.#renewed(request, credential, signal) : null
        if (renewed === null) throw error
        return await get(renewed)
      })
    } catch (error) {
      if (isRefusal(error)) this.#refuse(request, { credential, authorization: null }, ({ what }) => about(what, error))
      throw error instanceof RegistryError ? about(request.what, error) : error
    }
  }

  /** Another credential than the one that was refused. Null: there is none. */
  async #renewed(
    { repository }: RegistryRequest,
    refused: Credential | null,
    signal: AbortSignal,
  ): Promise<Credential | null> {
    if (refused === null) return null
    const { keychain } = this.#options
    keychain.forget(refused)
    const found = await keychain.find(repository, signal)
    return credentialFingerprint(found) === credentialFingerprint(refused) ? null : found
  }

  #tokenRequest(
    login: Extract<Login, { kind: "bearer" }>,
    repository: Repository,
    credential: Credential | null,
  ): TokenRequest {
    const { realm, service } = login
    const { baseURL, label, realms } = this.#options.endpoint
    return { registry: baseURL, realms, label, realm, service, scope: `repository:${repository.path}:pull`, credential }
  }

  /** The registry refused what it was given, so that is forgotten and what it asks for is learnt. */
  async #learn(request: RegistryRequest, header: string, pass: Pass, signal: AbortSignal): Promise<void> {
    const login = parseChallenges(header)
      .map(readLogin)
      .find((candidate) => candidate !== null)
    if (login === undefined) throw this.#refusal(request, "does not say how to log in")
    this.#memory.learn(request.repository, login)
    const { keychain, tokens } = this.#options
    const credential = await keychain.find(request.repository, signal)
    const direct = directAuthorization(login, credential)
    if (direct === null && login.kind === "basic")
      throw this.#refusal(request, "wants a user and a password, and there are none for it")
    if (direct === null && login.kind === "bearer")
      tokens.forget(this.#tokenRequest(login, request.repository, credential), pass.authorization)
    if (direct === null || direct !== pass.authorization) return
    if ((await this.#renewed(request, credential, signal)) !== null) return
    const offered = login.kind === "basic" ? "user and password" : "token"
    const tell: TellRefusal = (other) => this.#refusal(other, `does not accept the ${offered}`)
    this.#refuse(request, pass, tell)
    throw tell(request)
  }

  #refusal({ what, repository }: Parameters<TellRefusal>[0], reason: string): RegistryError {
    const message = `${what}: ${this.host} ${reason}; check the credentials for ${formatRepository(repository)}`
    return new RegistryError("DENIED", message, { detail: "upstream_auth" })
  }

  /**
   * For a while the answer is known, however many ask: registries lock out those who fail too often. A credential that
   * has just been good is not to blame.
   */
  #refuse(request: RegistryRequest, { credential }: Pass, tell: TellRefusal): void {
    const { clock, refusedMs } = this.#options
    const key = passKey(request, credential)
    const acceptedAt = this.#memory.accepted.get(key) ?? Number.NEGATIVE_INFINITY
    if (clock.now() - acceptedAt > refusedMs) this.#memory.refused.set(key, { tell, until: clock.now() + refusedMs })
  }

  #throwIfRefused(request: RegistryRequest, credential: Credential | null): void {
    const refused = this.#memory.refused.get(passKey(request, credential))
    if (refused !== undefined && refused.until > this.#options.clock.now()) throw refused.tell(request)
  }
}

const passKey = ({ repository }: RegistryRequest, credential: Credential | null): string =>
  `${repository.path} ${credentialFingerprint(credential)}`

const isRefusal = (error: unknown): error is RegistryError =>
  error instanceof RegistryError && error.code === "DENIED" && error.detail === "upstream_auth"

/** Tokens are fetched for many requests, so their failures do not name the one that is told of them. */
function about(what: string, error: RegistryError): RegistryError {
  const { askedMs, code, culprit, detail, message, retryAfterSeconds, status } = error
  return new RegistryError(code, `${what}: ${message}`, {
    status,
    askedMs,
    culprit,
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
