import { observeStream, type StreamEnd } from "../lib/stream.ts"
import type { Route } from "../telemetry/labels.ts"
import { errorText, type Fields, type Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { pathOf } from "./path-of.ts"

export interface AccessOptions {
  readonly log: Logger
  readonly metrics: Metrics
  /** Null: the path tells. */
  readonly route: Route | null
}

export interface Answer {
  readonly response: Response
  /** Of its body, as the header tells; null: it does not. */
  readonly length: string | null
}

export interface Asked {
  readonly request: Request
  /** From `performance.now()`. */
  readonly startedAt: number
  /** Null: nobody asked. */
  readonly user: string | null
}

/**
 * One line and one count per request. An answer whose length is known is recorded when it is handed over, a stream
 * when it has ended or was broken off.
 */
export function recordAccess(
  { log, metrics, route: fixed }: AccessOptions,
  { request, startedAt, user }: Asked,
  { length, response }: Answer,
): Response {
  const { status } = response
  const path = pathOf(request.url)
  const route = fixed ?? routeOf(path)
  metrics.httpRequests.inc({ route, code: status })
  const seconds = (performance.now() - startedAt) / 1000
  metrics.httpSeconds.add({ route }, seconds)
  if (route === "manifest" || route === "blob") metrics.original.served(route, seconds, status >= 500)
  const { method } = request
  const record = (bytes: number, took: number, end: Fields = NOTHING) => {
    const fields: Record<string, unknown> = { method, path, status, bytes, ms: Math.round(took * 10_000) / 10 }
    if (user !== null) fields["user"] = user
    log.info("request", end === NOTHING ? fields : { ...fields, ...end })
  }
  // To look at a body makes a stream of it
  const body = length === null ? response.body : null
  if (body !== null) {
    const counted = countedStream(body, (bytes, end) => record(bytes, (performance.now() - startedAt) / 1000, end))
    return new Response(counted, response)
  }
  record(method === "HEAD" ? 0 : Number(length), seconds)
  return response
}

const NOTHING: Fields = {}

/** Passes a stream on and tells at its end how much it was. */
function countedStream(
  body: ReadableStream<Uint8Array>,
  record: (bytes: number, end: Fields) => void,
): ReadableStream<Uint8Array> {
  let bytes = 0
  return observeStream(body, {
    chunk: ({ byteLength }) => {
      bytes += byteLength
    },
    end: (end) => record(bytes, describeEnd(end)),
  })
}

function describeEnd(end: StreamEnd): Fields {
  switch (end.kind) {
    case "complete":
      return {}
    case "broken":
      return { end: "broken off", error: errorText(end.error) }
    case "left":
      return { end: "client left" }
    default:
      return end satisfies never
  }
}

const ROUTES: ReadonlyMap<string, Route> = new Map([
  ["manifests", "manifest"],
  ["blobs", "blob"],
  ["tags", "tags"],
  ["referrers", "referrers"],
])

/** By the last segment but one. */
function routeOf(path: string): Route {
  const last = path.lastIndexOf("/")
  const route = ROUTES.get(path.slice(path.lastIndexOf("/", last - 1) + 1, last))
  return route ?? (/\/v2\/?$/.test(path) ? "base" : "other")
}
