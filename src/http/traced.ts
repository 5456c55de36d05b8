import { observeStream } from "../lib/stream.ts"
import type { Span, Tracer } from "../telemetry/tracer.ts"
import { pathOf } from "./path-of.ts"
import type { Handle } from "./server.ts"

/** By the original's names. */
const NAMES = { manifests: "getManifest", blobs: "getBlob" } as const

/** A span for each request, inside that of the client if it tells one, until its answer was sent as far as can be told. */
export const traced =
  (handle: Handle, tracer: Tracer): Handle =>
  async (request, caller) => {
    const { headers, method, url } = request
    const path = pathOf(url)
    const attributes = { "http.request.method": method, "url.path": path }
    return await tracer.span(
      spanName(method, path),
      { kind: "server", attributes, incoming: headers },
      async (span) => {
        const response = await handle(request, caller)
        span.set({ "http.response.status_code": response.status })
        return watched(response, span)
      },
    )
  }

/** Of an answer whose length is known, such as a file, nobody tells when it has been sent: its span ends as it begins. */
function watched(response: Response, span: Span): Response {
  const { body, headers } = response
  const length = headers.get("content-length")
  if (length !== null) span.set({ "http.response.body.size": Number(length) })
  if (body === null || length !== null) return response
  const finish = span.hold()
  let bytes = 0
  const sent = observeStream(body, {
    chunk: ({ byteLength }) => {
      bytes += byteLength
    },
    end: (end) => {
      span.set({ "http.response.body.size": bytes })
      finish(end.kind === "broken" ? end.error : end.kind === "left" ? new Error("The client has left") : null)
    },
  })
  return new Response(sent, response)
}

function spanName(method: string, path: string): string {
  const [, subject] = /\/(manifests|blobs)\/[^/]+$/.exec(path) ?? []
  return subject === "manifests" || subject === "blobs" ? NAMES[subject] : method
}
