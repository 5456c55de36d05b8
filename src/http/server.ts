import { steerConnectionsToSecond } from "../lib/steer-connections.ts"
import { RegistryError } from "../oci/error.ts"
import type { Route } from "../telemetry/labels.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { type Answer, recordAccess } from "./access.ts"
import { errorResponse, internalError } from "./error.ts"
import { type InstantAnswers, InstantRecord } from "./instant.ts"
import { refuseTaken } from "./port-check.ts"
import type { TlsCredentials } from "./tls/credentials.ts"

/** Who sends a request. */
export interface Caller {
  /** IP address; null: the connection is gone already. */
  address(): string | null
  /** Noted by who finds it out, for the log of requests. */
  user: string | null
}

export type Handle = (request: Request, caller: Caller) => Response | Promise<Response>

export interface ListenOptions {
  readonly hostname: string
  /** 0 takes a free one. */
  readonly port: number
  readonly handle: Handle
  /** Asked before `handle`, unless the port has much to do, or closes its connections. Absent: there are none. */
  readonly instant?: InstantAnswers
  readonly log: Logger
  /** Null: requests are not recorded, which is for ports that machines ask every few seconds. */
  readonly metrics: Metrics | null
  /** Requests in progress, above which new ones are told to come back. */
  readonly maxConcurrent: number
  readonly stall: StallPolicy
  /** Absent: the port answers whatever is left. */
  readonly openFiles?: OpenFiles
  /** True: another process of the same user may have the port already, and answers its part of the connections. */
  readonly mayShare: boolean
  /** Absent: plain HTTP. */
  readonly credentials?: TlsCredentials
  /** What all requests of the port that `handle` answers are counted as; without it, their path tells. */
  readonly route?: Route
}

/** How many of the files and sockets that the process may have are open. */
export interface OpenFiles {
  /** Few are left: a connection is closed with the answer that it gets. */
  readonly areScarce: boolean
  /** The rest is for what is under way: who asks for something new is told to come back. */
  readonly areSpent: boolean
}

const PLENTY: OpenFiles = { areScarce: false, areSpent: false }

/**
 * Patience with clients that take nothing of their answer has no end, as long as few requests are in progress. Above
 * `patientRequests`, new ones are cut off when nothing of their answer could be sent for so long. So clients that
 * stall can never hold all that there is. Bun counts in steps of 4 s up to 240 s, and in whole minutes above.
 */
export interface StallPolicy {
  readonly patientRequests: number
  readonly seconds: number
  /** A connection on which nothing was asked for so long is closed, after a large answer sooner; clients keep theirs for less. */
  readonly idleSeconds: number
}

export interface Listener {
  readonly port: number
  /** Closes the connections on which no request is in progress, but those that have not sent one yet. */
  closeIdle(): number
  /** From now on every answer asks its client to connect anew, so that few connections are left to cut at the end. */
  retire(): void
  /** Accepts nothing new and resolves when running answers are complete, or cuts them off. */
  stop(isForced: boolean): Promise<void>
}

interface ListenerState {
  isRetired: boolean
  /** There are connections, or may be, that only a sweep closes. */
  hasUnlimited: boolean
}

/** Opens a port. Throws when it cannot be opened. */
export function listen(options: ListenOptions): Listener {
  const { hostname, port, mayShare } = options
  const state: ListenerState = { isRetired: false, hasUnlimited: false }
  const retire = () => {
    state.isRetired = true
    steerConnectionsToSecond() // to a successor on the same port, if there is one: what waits in our queue would be reset
  }
  try {
    if (!mayShare) refuseTaken(hostname, port)
    const server = serve(options, state)
    const sweep = sweepIdle(server, state, options.stall)
    const stop = async (isForced: boolean) => {
      clearInterval(sweep)
      await server.stop(isForced)
    }
    return { port: server.port ?? port, closeIdle: () => server.closeIdleConnections(), retire, stop }
  } catch (cause) {
    const address = joinAddress(hostname, port)
    throw new Error(`Cannot listen on ${address}${isTaken(cause) ? ", it is taken" : ""}`, { cause })
  }
}

/** With brackets around an IPv6 address. */
export const joinAddress = (hostname: string, port: number): string =>
  `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`

const isTaken = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EADDRINUSE"

function serve(options: ListenOptions, state: ListenerState) {
  const { credentials, hostname, port, handle, log, maxConcurrent, metrics, openFiles = PLENTY, route, stall } = options
  const mustClose = () => state.isRetired || openFiles.areScarce
  const answerInstantly = instantly(options)
  const send = (exchange: Exchange, response: Response): Response => {
    if (mustClose()) response.headers.set("connection", "close")
    const answer = { response, length: response.headers.get("content-length") }
    limitSilence(exchange, answer, stall, state)
    if (metrics === null) return response
    return recordAccess({ log, metrics, route: route ?? null }, exchange, answer)
  }
  return Bun.serve({
    hostname,
    port,
    development: false,
    reusePort: true,
    ...(credentials === undefined ? {} : { tls: tlsOptions(credentials) }),
    idleTimeout: 0,
    // A body that nobody reads is passed over as it comes; a limit would put Bun's bare 413 in place of our answer
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    // Not async: an answer that is there at once is sent at once, which is cheaper for small ones
    fetch: (incoming, server) => {
      const known = mustClose() ? null : answerInstantly(incoming, server)
      if (known !== null) return known
      const exchange = new Exchange(server, incoming)
      const request = withHost(incoming)
      const isFull = openFiles.areSpent || server.pendingRequests > maxConcurrent
      const answer = isFull ? overloaded : handle
      const response = request === null ? invalidHost(incoming) : answer(request, exchange)
      if (response instanceof Promise) return response.then((answered) => send(exchange, answered))
      return send(exchange, response)
    },
    error: (error) => {
      log.error("cannot answer", { error })
      return errorResponse(internalError(error), "GET")
    },
  })
}

/** Gives null where the request takes the usual way. */
function instantly({ instant, log, metrics, stall }: ListenOptions) {
  if (instant === undefined) return () => null
  const record = metrics === null ? null : new InstantRecord(log, metrics, instant.route)
  return (request: Request, server: Bun.Server<undefined>): Response | null => {
    if (server.pendingRequests > stall.patientRequests) return null
    const startedAt = performance.now()
    const known = instant.find(request, startedAt)
    if (known === null) return null
    server.timeout(request, stall.idleSeconds)
    const response = new Response(known.body, known.init)
    const seconds = (performance.now() - startedAt) / 1000
    instant.sent(seconds)
    record?.sent(known, seconds)
    return response
  }
}

/** A request that is being answered. */
class Exchange implements Caller {
  readonly startedAt = performance.now()
  readonly server: Bun.Server<undefined>
  readonly request: Request
  user: string | null = null

  constructor(server: Bun.Server<undefined>, request: Request) {
    this.server = server
    this.request = request
  }

  address(): string | null {
    return this.server.requestIP(this.request)?.address ?? null
  }
}

function limitSilence({ request, server }: Exchange, answer: Answer, stall: StallPolicy, state: ListenerState): void {
  server.timeout(request, stall.idleSeconds) // what is sent at once leaves this to its connection
  const isBusy = server.pendingRequests > stall.patientRequests
  if (!isBusy && isSmall(request, answer)) return
  state.hasUnlimited = true
  // No limit for large answers: Bun would count the time that a slow client takes for what is on its way, too. Once the
  // answer is under way: Bun forgets it where a file is sent later
  setImmediate(() => server.timeout(request, isBusy ? stall.seconds : 0))
}

/** Bun tells of no answer when it has been sent, so after large ones all connections that are idle are closed. */
function sweepIdle(server: Bun.Server<undefined>, state: ListenerState, { idleSeconds }: StallPolicy): Timer {
  return setInterval(() => {
    if (!state.hasUnlimited) return
    server.closeIdleConnections()
    state.hasUnlimited = server.pendingRequests > 0 // of which some may be large
  }, idleSeconds * 1000).unref()
}

/** So small that all of it is in the socket as soon as it is sent. */
const SMALL_BYTES = 64 * 1024

function isSmall({ method }: Request, { length, response }: Answer): boolean {
  if (method === "HEAD" || response.status >= 300) return true
  return length !== null && Number(length) <= SMALL_BYTES
}

/** Bun speaks TLS 1.2 and 1.3, and nothing older. */
const tlsOptions = ({ cert, key, clientCA }: TlsCredentials): Bun.TLSOptions =>
  clientCA === null ? { cert, key } : { cert, key, ca: clientCA, requestCert: true, rejectUnauthorized: true }

/** Told before anything is opened, so that there are always files left to answer with. */
function overloaded({ method }: Request): Response {
  const error = new RegistryError("UNAVAILABLE", "The registry has too many requests in progress, try again", {
    retryAfterSeconds: 1 + Math.random() * 4,
  })
  return errorResponse(error, method, { connection: "close" })
}

/**
 * Bun gives the bare target where Host is no host, which nothing can parse. A host may be missing (RFC 9112, 3.2: in
 * HTTP/1.0, or empty); null when it is wrong.
 */
function withHost(request: Request): Request | null {
  if (!request.url.startsWith("/")) return request
  const { headers, method, signal } = request
  if ((headers.get("host") ?? "") !== "") return null
  return new Request(`http://localhost${request.url}`, { method, headers, signal })
}

function invalidHost({ method }: Request): Response {
  const message = "Cannot read the request: its Host header is no host"
  return errorResponse(new RegistryError("UNSUPPORTED", message, { status: 400 }), method)
}
