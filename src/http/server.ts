import { RegistryError } from "../oci/error.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { recordAccess } from "./access.ts"
import { errorResponse, internalError } from "./error.ts"

export interface ListenOptions {
  readonly hostname: string
  /** 0 takes a free one. */
  readonly port: number
  readonly handle: (request: Request) => Response | Promise<Response>
  readonly log: Logger
  /** Null: requests are not recorded, which is for ports that machines ask every few seconds. */
  readonly metrics: Metrics | null
  /** Requests in progress, above which new ones are told to come back. */
  readonly maxConcurrent: number
}

export interface Listener {
  readonly port: number
  /** Accepts nothing new and resolves when running answers are complete, or cuts them off. */
  stop(isForced: boolean): Promise<void>
}

/** Nothing is uploaded here, so a body is never read. */
const MAX_BODY_BYTES = 64 * 1024

/** Opens a port. Rejects when it cannot be opened. */
export function listen(options: ListenOptions): Listener {
  const { hostname, port, handle, log, maxConcurrent, metrics } = options
  const server = Bun.serve({
    hostname,
    port,
    development: false,
    idleTimeout: 0,
    maxRequestBodySize: MAX_BODY_BYTES,
    fetch: async (request, { pendingRequests }) => {
      const startedAt = performance.now()
      const response = pendingRequests > maxConcurrent ? overloaded(request) : await handle(request)
      return metrics === null ? response : recordAccess({ log, metrics }, { request, response, startedAt })
    },
    error: (error) => {
      log.error("cannot answer", { error })
      return errorResponse(internalError(), "GET")
    },
  })
  return { port: server.port ?? port, stop: (isForced) => server.stop(isForced) }
}

/** Told before anything is opened, so that there are always files left to answer with. */
function overloaded({ method }: Request): Response {
  const error = new RegistryError("UNAVAILABLE", "The registry has too many requests in progress, try again", {
    retryAfterSeconds: 1 + Math.random() * 4,
  })
  return errorResponse(error, method, { connection: "close" })
}

/** What a thrown error is answered with, and logged where it is our own fault. */
export function failureResponse(log: Logger, request: Request, error: unknown): Response {
  if (error instanceof RegistryError) {
    const { code, message, status } = error
    if (status >= 500)
      log.warn("cannot answer", { code, path: new URL(request.url, "http://localhost").pathname, error: message })
    return errorResponse(error, request.method)
  }
  if (request.signal.aborted) return new Response(null, { status: 499 })
  log.error("unexpected failure", { error, stack: error instanceof Error ? error.stack : null })
  return errorResponse(internalError(), request.method)
}
