import { Elysia } from "elysia"
import type { Authenticator } from "../auth/auth.ts"
import { RegistryError } from "../oci/error.ts"
import type { Logger } from "../telemetry/log.ts"
import { withCommonHeaders } from "./common-headers.ts"
import { errorResponse } from "./error.ts"
import { failureOf } from "./failure.ts"
import { type RegistryAppOptions, registryApp } from "./registry/app.ts"
import type { Caller, Handle } from "./server.ts"
import { swaggerApp } from "./swagger/app.ts"
import { registryDocumentation } from "./swagger/registry-documentation.ts"

export interface HttpAppOptions extends RegistryAppOptions {
  readonly version: string
  readonly log: Logger
  /** Null: everybody may pull. Asked for every request. */
  readonly authenticator: () => Authenticator | null
}

/** Everything on the registry's port. */
export function httpApp(options: HttpAppOptions): Handle {
  const app = new Elysia({ name: "http", normalize: false, handler: { standardHostname: false } })
    .onError(({ code, error, request }) =>
      failureResponse(options.log, request, code === "NOT_FOUND" ? nothingHere() : error),
    )
    .use(registryApp(options))
    .use(swaggerApp({ version: options.version, documentation: registryDocumentation(options.prefix) }))
  const admitted = (request: Request): Response | Promise<Response> => {
    const response = answerMethod(request.method) ?? app.fetch(withPlainScheme(request))
    return response instanceof Promise ? response.then(withCommonHeaders) : withCommonHeaders(response)
  }
  const known = async (authenticator: Authenticator, request: Request, caller: Caller): Promise<Response> => {
    const refusal = await refuseStranger(authenticator, options.log, request, caller)
    return refusal === null ? await admitted(request) : withCommonHeaders(refusal)
  }
  return (request, caller) => {
    const authenticator = options.authenticator()
    return authenticator === null ? admitted(request) : known(authenticator, request, caller)
  }
}

/** Before anything is looked at, so that strangers learn nothing, not even which paths there are. Null: may go on. */
async function refuseStranger(
  authenticator: Authenticator,
  log: Logger,
  request: Request,
  caller: Caller,
): Promise<Response | null> {
  try {
    caller.user = await authenticator.authenticate(request.headers.get("authorization"), caller.address())
    return null
  } catch (error) {
    return failureResponse(log, request, error)
  }
}

/** Elysia looks for the path behind "http://", and finds the slashes of "https://" first. */
function withPlainScheme(request: Request): Request {
  if (!request.url.startsWith("https://")) return request
  const { headers, method, signal, url } = request
  return new Request(url.replace("https", "http"), { method, headers, signal })
}

/** Before anything is looked at: nothing here can be written, whatever the path. Null: a method that reads. */
function answerMethod(method: string): Response | null {
  if (method === "GET" || method === "HEAD") return null
  if (method === "OPTIONS") return new Response(null, { status: 204, headers: { allow: "GET, HEAD" } })
  return errorResponse(
    new RegistryError("UNSUPPORTED", `This registry is for pulling, ${method} is not supported`),
    method,
  )
}

const nothingHere = (): RegistryError =>
  new RegistryError("NAME_UNKNOWN", "There is nothing at this path, the registry is below /v2/")

/** What a thrown error is answered with. */
function failureResponse(log: Logger, request: Request, error: unknown): Response {
  return errorResponse(failureOf(log, request, error, failureMessage), request.method)
}

/** In the original's words, which people's alerts look for. */
function failureMessage(path: string): string {
  const [, subject] = /\/(manifest|blob)s\/[^/]+$/.exec(path) ?? []
  return subject === undefined ? "cannot answer" : `cannot get ${subject}`
}
