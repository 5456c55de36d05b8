import { RegistryError } from "../../oci/error.ts"
import type { Logger } from "../../telemetry/log.ts"

/** Whatever is no file is never kept by caches: a failure that they remember outlives its cause. */
const NO_STORE = { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" } as const

export function plainText(status: number, text: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, {
    status,
    headers: { ...NO_STORE, "content-length": String(Buffer.byteLength(text)), ...headers },
  })
}

/** What a thrown error is answered with, and logged where it is our own fault. */
export function failureText(log: Logger, request: Request, error: unknown): Response {
  const known = knownError(error)
  if (known !== null) {
    const { message, retryAfterSeconds, status } = known
    if (status >= 500) log.warn("cannot answer", { url: request.url, error: message })
    return plainText(status, `${message}\n`, {
      ...(retryAfterSeconds === null ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
      ...(status === 405 ? { allow: "GET, HEAD" } : {}),
    })
  }
  if (request.signal.aborted) return new Response(null, { status: 499 })
  log.error("unexpected failure", { error, stack: error instanceof Error ? error.stack : null })
  return plainText(500, "internal server error")
}

/** Elysia wraps what is thrown in a handler in some cases. */
function knownError(error: unknown): RegistryError | null {
  if (error instanceof RegistryError) return error
  return error instanceof Error && error.cause instanceof RegistryError ? error.cause : null
}
