import { giveBack } from "../lib/sole-bytes.ts"
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
  const { method } = request
  const path = pathOf(request.url)
  const route = fixed ?? routeOf(path)
  const seconds = secondsSince(startedAt)
  count(metrics, { route, status, seconds })
  // To look at a body makes a stream of it
  const body = length === null ? response.body : null
  if (body !== null) {
    const record = (bytes: number, end: Fields) => {
      const fields = { method, path, status, bytes, ms: tenths(secondsSince(startedAt)) }
      log.info("request", { ...fields, ...(user === null ? {} : { user }), ...end })
    }
    return new Response(countedStream(body, record), response)
  }
  const fields = { method, path, status, bytes: method === "HEAD" ? 0 : Number(length), ms: tenths(seconds) }
  if (user === null) log.request(fields)
  else log.info("request", { ...fields, user })
  return response
}

const secondsSince = (startedAt: number): number => (performance.now() - startedAt) / 1000
/** In milliseconds, to a tenth. */
export const tenths = (seconds: number): number => Math.round(seconds * 10_000) / 10

interface Answered {
  readonly route: Route
  readonly status: number
  readonly seconds: number
}

function count({ httpRequests, httpSeconds, original }: Metrics, { route, seconds, status }: Answered): void {
  httpRequests.inc({ route, code: status })
  httpSeconds.add({ route }, seconds)
  if (route === "manifest" || route === "blob") original.served(route, seconds, status >= 500)
}

/** Passes a stream on to its client, gives the memory of what was sent back, and tells at the end how much it was. */
function countedStream(
  body: ReadableStream<Uint8Array>,
  record: (bytes: number, end: Fields) => void,
): ReadableStream<Uint8Array> {
  let bytes = 0
  let latest: Uint8Array | null = null
  return observeStream(body, {
    asked: () => {
      if (latest !== null) giveBack(latest) // Bun is done with it before it asks for more
      latest = null
    },
    chunk: (chunk) => {
      bytes += chunk.byteLength
      latest = chunk
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
