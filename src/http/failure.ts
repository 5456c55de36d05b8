import { passingCulprit, RegistryError } from "../oci/error.ts"
import type { Logger } from "../telemetry/log.ts"
import { internalError } from "./error.ts"
import { pathOf } from "./path-of.ts"

/** What a client is told of what was thrown, which is logged where it is our own fault. */
export function failureOf(
  log: Logger,
  request: Request,
  thrown: unknown,
  message: (path: string) => string = () => "cannot answer",
): RegistryError {
  const error = causeOf(thrown)
  if (error instanceof RegistryError) {
    if (error.status >= 500) {
      const path = pathOf(request.url)
      log.error(message(path), { code: error.code, path, error: error.message }, passingCulprit(error))
    }
    return error
  }
  if (request.signal.aborted) return new RegistryError("UNKNOWN", "The client has left", { status: 499 })
  log.error("unexpected failure", { error, stack: error instanceof Error ? error.stack : null })
  return internalError(error)
}

/** Elysia wraps what a parser of parameters throws. */
function causeOf(error: unknown): unknown {
  if (error instanceof RegistryError || !(error instanceof Error)) return error
  const inner = "error" in error ? error.error : error.cause
  return inner instanceof RegistryError ? inner : error
}
