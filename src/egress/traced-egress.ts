import { observeStream } from "../lib/stream.ts"
import type { Tracer } from "../telemetry/tracer.ts"
import type { Egress } from "./egress.ts"

/** A span for each request until its answer is read, whose context the peer is told. The query may hold secrets. */
export const tracedEgress =
  (egress: Egress, tracer: Tracer): Egress =>
  async (request, signal) => {
    const { method, url } = request
    const { hostname, origin, pathname, port } = url
    const attributes = {
      "http.request.method": method,
      "url.full": `${origin}${pathname}`,
      "server.address": hostname,
      ...(port === "" ? {} : { "server.port": Number(port) }),
    }
    return await tracer.span(`${method} ${url.host}`, { kind: "client", attributes }, async (span) => {
      const response = await egress({ ...request, headers: { ...request.headers, ...span.headers } }, signal)
      span.set({ "http.response.status_code": response.status })
      if (response.body === null) return response
      const finish = span.hold()
      const body = observeStream(response.body, { end: (end) => finish(end.kind === "broken" ? end.error : null) })
      return { ...response, body }
    })
  }
