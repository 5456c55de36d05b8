import { Elysia } from "elysia"
import type { LocatedBlob } from "../../blob/blob.ts"
import type { Facade } from "../../facade/facade.ts"
import type { Descriptor } from "../../oci/descriptor.ts"
import { isDigest } from "../../oci/digest.ts"
import { RegistryError } from "../../oci/error.ts"
import { OCI_INDEX } from "../../oci/media-type.ts"
import { isDigestTag, isRepositoryName } from "../../oci/reference.ts"
import type { Metrics } from "../../telemetry/metrics.ts"
import { COMMON_HEADERS } from "../common-headers.ts"
import { headersOf, respond } from "../respond.ts"
import { warningHeader } from "../warning.ts"
import { wantsSingleManifest } from "./accept.ts"
import { parseRoute, type RegistryRoute } from "./route.ts"
import { pageTags, type TagQuery } from "./tags.ts"

export interface RegistryAppOptions {
  /** Asked for every request, so that a reload can swap it. */
  readonly facade: () => Facade
  /** "" or "/path". */
  readonly prefix: string
  /** True when clients must log in, so that shared caches must not keep answers. Asked for every answer. */
  readonly isPrivate: () => boolean
  readonly metrics: Metrics
}

const EMPTY_REFERRERS = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] })

/**
 * The pull API (distribution-spec: "Pull" and "Content Discovery"), for GET and HEAD. One route for all, because a name
 * may have any number of segments; and for both methods, because Elysia would answer HEAD by running GET.
 */
export const registryApp = (options: RegistryAppOptions) => {
  const path = `${options.prefix}/v2/`
  return (
    new Elysia({ name: "registry", prefix: `${options.prefix}/v2`, normalize: false })
      .wrap((answerByRoute) => (request: Request) => smallBlob(request, path, options) ?? answerByRoute(request))
      .all("", ({ request }) => answer({ request, route: { kind: "base" }, query: {}, options }), {
        detail: { hide: true },
      })
      // Without schemas, which cost time on every request; what is read of a query is checked where it is read
      .all("/*", ({ params, query, request }) => answer({ request, route: parseRoute(params["*"]), query, options }), {
        detail: { hide: true },
      })
  )
}

interface Asked {
  readonly request: Request
  readonly route: RegistryRoute
  readonly query: TagQuery & { readonly artifactType?: string }
  readonly options: RegistryAppOptions
}

async function answer(asked: Asked): Promise<Response> {
  const { route, request, options, query } = asked
  switch (route.kind) {
    case "base":
      return json("{}", "application/json")
    case "manifest":
      return await taggedManifest(route.name, route.tag, asked)
    case "manifest-by-digest": {
      const document = await options.facade().document(route.name, route.digest, request.signal)
      return respond(request, { kind: "bytes", ...document }, lasting(document.descriptor, options))
    }
    case "blob": {
      const blob = await options.facade().blob(route.name, route.digest, request.signal)
      const response = await respond(request, blob, lasting(blob.descriptor, options))
      if (request.method === "GET") countBytes(options.metrics, blob, response)
      return response
    }
    case "tags":
      return await tagList(route.name, asked)
    case "referrers":
      return referrers(query)
    case "upload":
      throw new RegistryError("BLOB_UPLOAD_UNKNOWN", "There are no uploads, this registry is for pulling")
    default:
      return route satisfies never
  }
}

/**
 * The whole of a small blob that is here, which is what most requests of a pull ask for: for these, finding the route
 * costs as much as the rest. Null: anything else, which goes its usual way.
 */
function smallBlob({ headers, method, url }: Request, path: string, options: RegistryAppOptions): Response | null {
  const start = url.indexOf("/", "https://".length)
  const end = url.lastIndexOf("/blobs/")
  if (method !== "GET" || end === -1 || !url.startsWith(path, start)) return null
  const name = url.slice(start + path.length, end)
  const digest = url.slice(end + "/blobs/".length)
  if (!isDigest(digest) || !isRepositoryName(name)) return null
  if (headers.has("range") || headers.has("if-none-match")) return null
  const blob = options.facade().smallBlob(name, digest)
  if (blob === null) return null
  countRead(options.metrics, "disk", blob.descriptor.size)
  return new Response(blob.bytes, { headers: lasting(blob.descriptor, options) })
}

/** Counts what is sent straight from a file or from memory; transfers count for themselves. */
function countBytes(metrics: Metrics, { kind }: LocatedBlob, { headers, status }: Response): void {
  if (status !== 200 && status !== 206) return
  if (kind !== "file" && kind !== "bytes") return
  countRead(metrics, kind === "file" ? "disk" : "config", Number(headers.get("content-length")))
}

function countRead(metrics: Metrics, source: "config" | "disk", bytes: number): void {
  metrics.blobBytes.inc({ source }, bytes)
  metrics.original.blobRead(source, { bytes, seconds: null, isComplete: true })
}

/** Any tag names the composed image, as in the original; but tags that speak of a digest would speak of another image's. */
async function taggedManifest(name: string, tag: string, { request, options }: Asked): Promise<Response> {
  if (isDigestTag(tag))
    throw new RegistryError("MANIFEST_UNKNOWN", `Cannot find ${name}:${tag}: composed images have no such tags`)
  const { root, single, stale } = await options.facade().image(name, request.signal).catch(asManifestUnknown)
  const document = wantsSingleManifest(request.headers.get("accept")) ? (single ?? root) : root
  const headers = {
    ...digestHeader(document.descriptor),
    ...(root === single ? {} : { vary: "Accept" }),
    ...(stale.length === 0
      ? {}
      : { warning: warningHeader(`${stale.join(", ")} is served as it was, its registry fails`) }),
  }
  const presentation = { contentType: document.descriptor.mediaType, cacheControl: "no-cache", headers }
  return respond(request, { kind: "bytes", ...document }, headersOf(document.descriptor, presentation))
}

/** On this route an unknown name is an unknown manifest: health checks of the original's users rely on the code. */
function asManifestUnknown(error: unknown): never {
  if (error instanceof RegistryError && error.code === "NAME_UNKNOWN") {
    throw new RegistryError("MANIFEST_UNKNOWN", error.message, { cause: error })
  }
  throw error
}

async function tagList(name: string, { request, query: parameters, options }: Asked): Promise<Response> {
  if (!(await options.facade().knows(name, request.signal)))
    throw new RegistryError("NAME_UNKNOWN", `Cannot find ${name}: no image of that name is configured`)
  const { tags, link } = pageTags({ path: `${options.prefix}/v2/${name}/tags/list`, tags: ["latest"] }, parameters)
  return json(JSON.stringify({ name, tags }), "application/json", link === null ? {} : { link })
}

/** Signatures and the like of a base speak of the base's digest, not of the composed image's, so there are none. */
function referrers({ artifactType }: Asked["query"]): Response {
  const filtered = artifactType === undefined ? {} : { "oci-filters-applied": "artifactType" }
  return json(EMPTY_REFERRERS, OCI_INDEX, { "cache-control": "no-cache", ...filtered })
}

const digestHeader = ({ digest }: Descriptor) => ({ ...COMMON_HEADERS, "docker-content-digest": digest })

const LASTING = "max-age=31536000, immutable, no-transform"
const PUBLIC = `public, ${LASTING}`
const PRIVATE = `private, ${LASTING}`

/** Made once for each content, as long as an image that has it is remembered. */
function lastingHeaders(cacheControl: string): (descriptor: Descriptor) => Headers {
  const known = new WeakMap<Descriptor, Headers>()
  return (descriptor) => {
    const made = known.get(descriptor)
    if (made !== undefined) return made
    const { mediaType: contentType } = descriptor
    const headers = headersOf(descriptor, { contentType, cacheControl, headers: digestHeader(descriptor) })
    known.set(descriptor, headers)
    return headers
  }
}

const publicly = lastingHeaders(PUBLIC)
const privately = lastingHeaders(PRIVATE)

const lasting = (descriptor: Descriptor, { isPrivate }: RegistryAppOptions): Headers =>
  isPrivate() ? privately(descriptor) : publicly(descriptor)

/** With its body for HEAD too: Elysia counts it where it answers HEAD itself, and Bun leaves it out. */
function json(body: string, contentType: string, headers: Readonly<Record<string, string>> = {}): Response {
  const length = String(Buffer.byteLength(body))
  return new Response(body, { headers: { "content-type": contentType, "content-length": length, ...headers } })
}
