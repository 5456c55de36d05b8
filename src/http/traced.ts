import type { Tracer } from "../telemetry/tracer.ts"
import type { Handle } from "./server.ts"

/** By the original's names. */
const NAMES = { manifests: "getManifest", blobs: "getBlob" } as const

/** A span for each request until its answer is ready, inside that of the client if it tells one. */
export const traced =
  (handle: Handle, tracer: Tracer): Handle =>
  async (request, caller) => {
    const { headers, method, url } = request
    const path = url.replace(/^[a-z]+:\/\/[^/]*/, "").replace(/\?.*$/s, "")
    const attributes = { "http.request.method": method, "url.path": path }
    return await tracer.span(
      spanName(method, path),
      { kind: "server", attributes, incoming: headers },
      async (span) => {
        const response = await handle(request, caller)
        const length = response.headers.get("content-length")
        span.set({
          "http.response.status_code": response.status,
          ...(length === null ? {} : { "http.response.body.size": Number(length) }),
        })
        return response
      },
    )
  }

function spanName(method: string, path: string): string {
  const [, subject] = /\/(manifests|blobs)\/[^/]+$/.exec(path) ?? []
  return subject === "manifests" || subject === "blobs" ? NAMES[subject] : method
}
