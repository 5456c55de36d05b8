import { joinPath, type LayerPath } from "../../../archive/layer-path.ts"
import { listDirectory } from "../../../blobserve/directory.ts"
import type { FileQuery } from "../../../blobserve/files.ts"
import { Inspection } from "../../../blobserve/inspection.ts"
import { RegistryError } from "../../../oci/error.ts"
import { plainText } from "../answer.ts"
import { decodeBytes, encodedPath } from "../encoding.ts"
import { inTime } from "../in-time.ts"
import type { BlobserveAppOptions } from "../options.ts"
import { parseFilePath, pathInImage } from "../path.ts"
import { forbidden } from "../refusals.ts"
import type { ServedRepository } from "../repository.ts"
import { imagePage, PAGE_POLICY, waitingPage } from "./page.ts"
import { type ImageView, imageJson } from "./view.ts"

const PAGES = "/-/images/"
const DATA = "/-/api/v1/images/"

interface Sought {
  /** As the request wrote it. */
  readonly image: string
  readonly path: LayerPath
  /** The last name of the page before; "" for the first one. */
  readonly after: string
  readonly isData: boolean
}

/** Looks inside images: what their layers hold, and which of it can be seen. Null: the path is none of these. */
export function createExplorer(options: BlobserveAppOptions) {
  const inspection = new Inspection()
  return async (request: Request): Promise<Response | null> => {
    const sought = parseSought(request.url)
    if (sought === null) return null
    if (request.method !== "GET" && request.method !== "HEAD")
      throw new RegistryError("UNSUPPORTED", `Images can only be looked at, ${request.method} is not supported`)
    const patience = { clock: options.clock, timeoutMs: options.served().timeoutMs }
    const view = await inTime(patience, request.signal, (signal) => inspect(sought, { options, inspection, signal }))
    return sought.isData ? dataAnswer(view) : page(view === null ? waitingPage(sought.image) : imagePage(view))
  }
}

function parseSought(url: string): Sought | null {
  const [, pathname = "", query = ""] = /^[a-z]+:\/\/[^/]*([^?#]*)(\?[^#]*)?/.exec(url) ?? []
  const prefix = [PAGES, DATA].find((one) => pathname.startsWith(one))
  if (prefix === undefined) return null
  const path = decodeBytes(/[?&]path=([^&]*)/.exec(query)?.[1] ?? "") ?? ""
  const after = decodeBytes(/[?&]after=([^&]*)/.exec(query)?.[1] ?? "")
  if (after === null)
    throw new RegistryError("NAME_INVALID", "Cannot go on with the directory: ?after= is not encoded properly", {
      status: 400,
    })
  const image = pathname.slice(prefix.length).replace(/\/$/, "")
  return { image, path: pathInImage(path), after, isData: prefix === DATA }
}

const dataAnswer = (view: ImageView | null): Response =>
  view === null ? plainText(503, "timeout", { "retry-after": "1" }) : json(JSON.stringify(imageJson(view)))

const json = (text: string): Response =>
  new Response(text, {
    headers: {
      "content-length": String(Buffer.byteLength(text)),
      "content-type": "application/json",
      "cache-control": "no-cache",
    },
  })

const page = (text: string): Response =>
  new Response(text, {
    headers: {
      "content-length": String(Buffer.byteLength(text)),
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache",
      "content-security-policy": PAGE_POLICY,
    },
  })

interface Means {
  readonly options: BlobserveAppOptions
  readonly inspection: Inspection
  readonly signal: AbortSignal
}

async function inspect({ after, image, path }: Sought, { options, inspection, signal }: Means): Promise<ImageView> {
  const served = options.served()
  const target = parseFilePath(`/${image}`, served.layouts)
  if (target.path !== "")
    throw new RegistryError(
      "NAME_INVALID",
      `Cannot look inside ${target.repository}: nothing may follow its tag or digest; ?path= names a directory`,
      { status: 404 },
    )
  const repository = served.repository(target.repository)
  if (repository === null) throw forbidden(target.repository)
  const query: FileQuery = { image: served.image(target), layers: "all", platform: served.platform }
  return await options.files.indexes(query, signal, async (indexes, found) => {
    const report = await inspection.report(found, indexes)
    const page = await listDirectory(indexes, path, after)
    return { image, report, path, page, served: servedBelow(repository, image, path) }
  })
}

/** Files below the workdir have a URL, where all layers are served. */
function servedBelow({ layers, workdir }: ServedRepository, image: string, path: LayerPath): ImageView["served"] {
  const prefix = joinPath(workdir, "")
  const isServed = layers === "all" && (workdir === "" || joinPath(path, "").startsWith(prefix))
  return (place) => (isServed ? `/${image}/${encodedPath(place.slice(workdir === "" ? 0 : prefix.length))}` : null)
}
