import { Elysia } from "elysia"
import { RegistryError } from "../../oci/error.ts"
import type { Metrics } from "../../telemetry/metrics.ts"
import { RequestCount } from "../../telemetry/request-count.ts"
import type { InstantAnswers } from "../instant.ts"
import { respond } from "../respond.ts"
import type { Caller, Handle } from "../server.ts"
import { swaggerApp } from "../swagger/app.ts"
import { filesDocumentation } from "../swagger/files-documentation.ts"
import { failureText, plainText, refusalText } from "./answer.ts"
import { preflight } from "./cross-origin.ts"
import { createExplorer } from "./explorer/app.ts"
import { type Hot, HotAnswers } from "./hot-answers.ts"
import { inTime } from "./in-time.ts"
import { locate } from "./locate.ts"
import type { BlobserveAppOptions } from "./options.ts"
import { parseFilePath } from "./path.ts"
import { INLINE_VARS, presentFile } from "./present.ts"
import { forbidden, noSuchFile } from "./refusals.ts"
import { isUpgrade } from "./upgrade.ts"

export interface BlobserveApp {
  readonly handle: Handle
  readonly instant: InstantAnswers
}

/** The files inside images, for GET and HEAD. */
export function blobserveApp(options: BlobserveAppOptions): BlobserveApp {
  const callers = new WeakMap<Request, Caller>()
  const explore = createExplorer(options)
  let hot = { of: options.served(), answers: new HotAnswers() }
  const currentHot = (): HotAnswers => {
    const of = options.served()
    if (hot.of !== of) hot = { of, answers: new HotAnswers() }
    return hot.answers
  }
  const app = new Elysia({ name: "blobserve", normalize: false, handler: { standardHostname: false } })
    .onError(({ error, request }) => failureText(options.log, request, error))
    .use(swaggerApp({ version: options.version, documentation: filesDocumentation }))
    .all("/-/*", async ({ request }) => (await explore(request)) ?? plainText(404, "There is nothing at this path"))
    .all("/*", ({ request }) => answer({ request, caller: callers.get(request) ?? null, hot: currentHot() }, options))
  const all = async (request: Request, caller: Caller): Promise<Response> => {
    callers.set(request, caller)
    return await app.fetch(request)
  }
  const sent = (request: Request, response: Response, startedAt: number): Response => {
    if (!response.headers.has("x-content-type-options")) response.headers.set("x-content-type-options", "nosniff")
    const method = METHODS.has(request.method) ? request.method.toLowerCase() : "other"
    count(options.metrics, { method, code: response.status }, (performance.now() - startedAt) / 1000)
    return response
  }
  const { filesRequests, filesSeconds } = options.metrics
  const sentAtOnce = new RequestCount(() => ({ requests: filesRequests.of(SENT), seconds: filesSeconds.of(SENT) }))
  const instant: InstantAnswers = {
    route: "file",
    find: (request, now) => currentHot().instant(request, now),
    sent: (seconds) => sentAtOnce.add(seconds),
  }
  const handle: Handle = (request, caller) => {
    const startedAt = performance.now()
    const known = currentHot().find(request, startedAt)
    const response = known === null ? all(request, caller) : again(known, { request, caller }, options)
    if (!(response instanceof Promise)) return sent(request, response, startedAt)
    return response.then((answered) => sent(request, answered, startedAt))
  }
  return { handle, instant }
}

const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])

/** How an instant answer is counted. */
const SENT = { method: "get", code: 200 } as const

/** Under the names that the original's dashboards ask for. */
function count(
  { filesRequests, filesSeconds }: Metrics,
  labels: { readonly method: string; readonly code: number },
  seconds: number,
): void {
  filesRequests.inc(labels)
  filesSeconds.add(labels, seconds)
}

interface Asked {
  readonly request: Request
  readonly caller: Caller | null
  readonly hot: HotAnswers
}

async function answer({ request, caller, hot }: Asked, options: BlobserveAppOptions): Promise<Response> {
  if (isUpgrade(request)) return plainText(404, "Not Found")
  const served = options.served()
  const target = parseFilePath(pathOf(request.url), served.layouts)
  const repository = served.repository(target.repository)
  if (repository === null) throw forbidden(target.repository)
  if (request.method === "OPTIONS") return preflight(repository, request)
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new RegistryError("UNSUPPORTED", `Files can only be read, ${request.method} is not supported`)
  const query = { image: served.image(target), layers: repository.layers, platform: served.platform }
  if (request.headers.get("x-blobserve-readonly") === "true" && !options.files.knows(query.image))
    throw new RegistryError("MANIFEST_UNKNOWN", `image ${target.repository} is not here, and must not be fetched`)
  const place = { target, workdir: repository.workdir }
  const patience = { clock: options.clock, timeoutMs: served.timeoutMs }
  const answered = await inTime(patience, request.signal, async (wait) => {
    const located = await locate(options.files, query, place, wait)
    if (located.kind === "needs-slash") return toDirectory(request.url)
    if (located.kind === "absent") throw noSuchFile(target, located.path, repository.layers)
    const found = { target, repository, file: located.file, path: located.path }
    hot.remember(request, found, performance.now())
    return await presentFile({ ...found, request, isTrusted: isTrusted({ request, caller }, options), wait })
  })
  // ws-proxy compares this body to tell that it should try again
  return answered ?? plainText(503, "timeout", { "retry-after": "1" })
}

function again(
  hot: Hot,
  asked: Pick<Asked, "request" | "caller">,
  options: BlobserveAppOptions,
): Response | Promise<Response> {
  const { request } = asked
  if (hot.answer !== null) return respond(request, hot.file.blob, hot.answer.init.headers, { refuse: refusalText })
  return presentFile({ ...hot, request, isTrusted: isTrusted(asked, options), wait: request.signal })
}

/** Asked only where it matters. */
function isTrusted({ request, caller }: Pick<Asked, "request" | "caller">, options: BlobserveAppOptions): boolean {
  return request.headers.has(INLINE_VARS) && options.isTrusted(caller?.address() ?? "")
}

const pathOf = (url: string): string => url.replace(/^[a-z]+:\/\/[^/]*/, "").replace(/[?#].*$/s, "")

/** Relative, so that it holds behind any proxy; and for this time only, because a later image may have a file there. */
function toDirectory(url: string): Response {
  const last = pathOf(url).split("/").at(-1) ?? ""
  const query = /\?[^#]*/.exec(url)?.[0] ?? ""
  return plainText(302, "", { location: `./${last}/${query}` })
}
