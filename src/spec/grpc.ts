import { isIP } from "node:net"
import { checkServerIdentity, type PeerCertificate } from "node:tls"
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  credentials,
  logVerbosity,
  Metadata,
  setLogVerbosity,
  status,
} from "@grpc/grpc-js"
import { identifyTls, readTls, type TlsFiles } from "../lib/tls-files.ts"
import { RegistryError } from "../oci/error.ts"
import type { GrpcMetrics } from "../telemetry/grpc-metrics.ts"
import type { Logger } from "../telemetry/log.ts"
import { decodeSpecResponse, encodeSpecRequest, GET_IMAGE_SPEC } from "./encoded.ts"
import { parseSpec, SpecError } from "./parse.ts"
import type { ImageSpec } from "./spec.ts"
import { MAX_SPEC_BYTES, type SpecSource, UNREACHABLE } from "./spec-source.ts"

export interface GrpcOptions {
  /** host:port, or a target of gRPC such as dns:///host:port. */
  readonly addr: string
  /** Null: no TLS. The files are read again when they change. */
  readonly tls: TlsFiles | null
  /** Name in the server's certificate; null: the host of `addr`, or the name that the original took. */
  readonly serverName: string | null
  /** How long the first attempt waits for an answer, and the second, on a new connection. */
  readonly attemptsMs: readonly number[]
  readonly log: Logger
  readonly metrics: GrpcMetrics
}

/** The original asked every provider for a certificate of this name. */
const ORIGINAL_SERVER_NAME = "ws-manager"

const CLIENT_OPTIONS: ClientOptions = {
  "grpc.max_receive_message_length": MAX_SPEC_BYTES,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 5000,
  "grpc.keepalive_time_ms": 10_000, // while a call runs; servers punish pings on idle connections
  "grpc.keepalive_timeout_ms": 1000,
  "grpc.enable_retries": 0,
  "grpc.enable_http_proxy": 0, // providers are neighbours
  "grpc.enable_channelz": 0,
}

const [, service = "", method = ""] = GET_IMAGE_SPEC.split("/")
const METHOD = { service, method } as const

/** CANCELLED, too: so a call may end whose deadline has passed for the server a moment before it did here. */
const OF_CONNECTION: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED])

/** A failure of a call as gRPC tells it. */
class CallError extends Error {
  override readonly name = "CallError"
  readonly code: number

  constructor(code: number, details: string) {
    super(`${status[code] ?? code}: ${plainDetails(details)}`)
    this.code = code
  }

  /** The connection may be the reason: a peer that is gone without a word is noticed only by its silence. */
  get isOfConnection(): boolean {
    return OF_CONNECTION.has(this.code)
  }
}

/** Specs from a server of the original's gRPC service. */
export class GrpcSpecSource implements SpecSource {
  readonly origin: string
  readonly #options: GrpcOptions
  #client: Client
  #tlsIdentity: string
  #isClosed = false

  /** Throws when the certificates cannot be used. Connects when it is first asked. */
  constructor(options: GrpcOptions) {
    setLogVerbosity(logVerbosity.NONE) // it writes to stderr by itself; what matters is in the errors
    this.#options = options
    this.origin = `grpc ${options.addr}`
    this.#tlsIdentity = this.#identify()
    this.#client = this.#open()
  }

  async lookup(name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    try {
      const spec = decodeSpecResponse(await this.#ask(encodeSpecRequest(name), signal))
      return spec === null ? null : parseSpec(spec, null)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof CallError && isUnknownName(error.code)) return null
      throw this.#told(name, error)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#client.close()
  }

  async #ask(request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { attemptsMs } = this.#options
    for (const [attempt, deadlineMs] of attemptsMs.entries()) {
      const client = this.#current()
      try {
        return await this.#measured(async () => await call(client, request, deadlineMs, signal))
      } catch (error) {
        const mayPass = error instanceof CallError && error.isOfConnection && !signal.aborted && !this.#isClosed
        if (mayPass) this.#replace(client)
        if (!mayPass || attempt === attemptsMs.length - 1) throw error
      }
    }
    throw new RangeError("A call needs at least one attempt")
  }

  /** Each attempt is a call of its own, as for the server. */
  async #measured(run: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const { metrics } = this.#options
    const startedAt = performance.now()
    const end = (code: number, hasAnswer: boolean) =>
      metrics.ended({ ...METHOD, code, hasAnswer, seconds: (performance.now() - startedAt) / 1000 })
    metrics.started(METHOD.service, METHOD.method)
    try {
      const answer = await run()
      end(status.OK, true)
      return answer
    } catch (error) {
      end(error instanceof CallError ? error.code : status.CANCELLED, false)
      throw error
    }
  }

  /** The connection, or a new one where the certificates have changed. */
  #current(): Client {
    const identity = this.#identify()
    if (identity === this.#tlsIdentity) return this.#client
    this.#tlsIdentity = identity
    if (this.#replace(this.#client)) this.#options.log.info("reloading file after change", { ...this.#options.tls })
    return this.#client
  }

  /**
   * Its running calls end by themselves. Of several that fail together, the first makes a new one for all. False: there
   * is no other yet, and the old one goes on connecting by itself.
   */
  #replace(client: Client): boolean {
    if (client !== this.#client || this.#isClosed) return false
    try {
      this.#client = this.#open()
      client.close()
      return true
    } catch (error) {
      this.#options.log.error("cannot use changed certificates, the old ones stay in use", { error })
      return false
    }
  }

  #open(): Client {
    const { addr, serverName } = this.#options
    // TLS has no place for an address where a client says which server it means (RFC 6066, 3)
    const said = serverName ?? (isIP(hostOf(addr)) === 0 ? null : ORIGINAL_SERVER_NAME)
    const named = said === null ? {} : { "grpc.ssl_target_name_override": said, "grpc.default_authority": said }
    // Channels of equal options would share connections, and a new one would get the silent one again
    return new Client(addr, this.#credentials(), { ...CLIENT_OPTIONS, ...named, "grpc.use_local_subchannel_pool": 1 })
  }

  #credentials(): ChannelCredentials {
    const { addr, serverName, tls } = this.#options
    if (tls === null) return credentials.createInsecure()
    const { ca, crt, key } = readTls(tls)
    const identity = serverName === null ? { checkServerIdentity: checkEither(hostOf(addr)) } : {}
    return credentials.createSsl(ca, key, crt, identity)
  }

  #identify(): string {
    return this.#options.tls === null ? "" : identifyTls(this.#options.tls)
  }

  #told(name: string, cause: unknown): Error {
    const what = `Cannot get the spec of ${name} from ${this.origin}`
    if (cause instanceof SpecError || cause instanceof TypeError)
      return new RegistryError("MANIFEST_INVALID", `${what}: ${cause.message}`, { detail: "spec", cause })
    if (cause instanceof CallError) {
      const detail = cause.isOfConnection ? { detail: UNREACHABLE } : {}
      return new RegistryError("UNAVAILABLE", `${what}: ${cause.message}`, {
        ...detail,
        retryAfterSeconds: 2,
        culprit: this.origin,
        cause,
      })
    }
    return cause instanceof Error ? cause : new Error(String(cause))
  }
}

/** Without what the library wraps around the reason that a connection failed for. */
function plainDetails(details: string): string {
  const reason = details.replace(/^No connection established\. Last error: (?:\w*Error: )?/, "")
  return reason.replace(/\.? Resolution note: $/, "").slice(0, 300)
}

/** A name that the server calls unknown, or impossible. */
const isUnknownName = (code: number): boolean => code === status.NOT_FOUND || code === status.INVALID_ARGUMENT

async function call(client: Client, request: Uint8Array, deadlineMs: number, signal: AbortSignal): Promise<Uint8Array> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  const running = client.makeUnaryRequest<Uint8Array, Uint8Array>(
    GET_IMAGE_SPEC,
    (bytes) => Buffer.from(bytes),
    (bytes) => bytes,
    request,
    new Metadata(),
    { deadline: Date.now() + deadlineMs },
    (error, response) => {
      if (error !== null) reject(new CallError(error.code, error.details))
      else resolve(response ?? new Uint8Array())
    },
  )
  const leave = () => running.cancel()
  signal.addEventListener("abort", leave, { once: true })
  return await promise.finally(() => signal.removeEventListener("abort", leave))
}

/** The host's own name, or the one that certificates of the original's providers have. */
const checkEither =
  (host: string) =>
  (_hostname: string, certificate: PeerCertificate): Error | undefined => {
    const fault = checkServerIdentity(host, certificate)
    return fault === undefined ? undefined : checkServerIdentity(ORIGINAL_SERVER_NAME, certificate) && fault
  }

/** Of `dns:///host:port`, `dns://resolver/host:port`, `ipv6:[::1]:1` or `host:port`. */
function hostOf(addr: string): string {
  const endpoint = addr.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*\//i, "").replace(/^(?:dns|ipv4|ipv6):/i, "")
  const host = endpoint.replace(/:\d+$/, "").replace(/^\[|\]$/g, "")
  return isIP(endpoint) === 0 ? host : endpoint
}
