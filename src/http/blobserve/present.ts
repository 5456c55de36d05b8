import type { LayerPath } from "../../archive/layer-path.ts"
import { nameOf } from "../../archive/layer-path.ts"
import type { FoundFile } from "../../blobserve/files.ts"
import { headersOf, type Presentation, respond } from "../respond.ts"
import { refusalText } from "./answer.ts"
import { contentType } from "./content-type.ts"
import { crossOriginHeaders } from "./cross-origin.ts"
import { fileDate } from "./file-date.ts"
import type { FileTarget } from "./path.ts"
import type { ServedRepository } from "./repository.ts"
import { inlined, type Replacement, readInlineVars, rewritten } from "./rewrite.ts"

export interface Presented {
  readonly request: Request
  readonly target: FileTarget
  readonly repository: ServedRepository
  readonly file: FoundFile
  /** From the image's root. */
  readonly path: LayerPath
  /** True for a client that may set variables. */
  readonly isTrusted: boolean
  /** Ends the wait for content. */
  readonly wait: AbortSignal
}

/** Header with variables for pages. */
export const INLINE_VARS = "X-BlobServe-InlineVars"

/** The answer for a file that was found. Rejects as its content does. */
export async function presentFile(presented: Presented): Promise<Response> {
  const { file, path, repository, request, wait } = presented
  const inline = inlineRules(presented)
  const fixed = repository.replacements.get(path) ?? []
  const blob = await rewritten(file.blob, [...fixed, ...(inline ?? [])], wait)
  const isOwn = blob === file.blob
  const form = { isInlined: inline !== null, isOwn }
  const headers = headersOf(blob.descriptor, presentation(presented, form))
  return await respond(request, blob, headers, { refuse: refusalText, wait })
}

type Shown = Omit<Presented, "isTrusted" | "wait">

interface Form {
  readonly isInlined: boolean
  /** False for a content that differs from that of the image. */
  readonly isOwn: boolean
}

function presentation(presented: Shown, { isInlined, isOwn }: Form): Presentation {
  const { file, path, repository, request } = presented
  const varies = repository.inlineStatic.length > 0 && isIndex(path)
  return {
    contentType: contentType(path),
    cacheControl: cacheControl(presented, isInlined),
    headers: {
      "x-content-type-options": "nosniff",
      ...(isOwn ? lastModified(file.entry.mtime) : {}),
      "x-image-digest": file.image,
      "x-layer-digest": file.layer,
      ...crossOriginHeaders(repository, request, varies ? [INLINE_VARS] : []),
      ...(repository.isListed ? {} : { "content-security-policy": "sandbox" }),
    },
  }
}

/** What all requests for a file are answered with alike. Null: it depends on who asks. */
export function sameHeaders(presented: Shown): Headers | null {
  const { cors, inlineStatic, replacements } = presented.repository
  const isSame = cors.length === 0 && inlineStatic.length === 0 && replacements.size === 0
  if (!isSame) return null
  return headersOf(presented.file.blob.descriptor, presentation(presented, { isInlined: false, isOwn: true }))
}

/** Builds that want no dates write 0 or 1. */
const NO_TIME = 1

function lastModified(mtime: number): Readonly<Record<string, string>> {
  const date = mtime > NO_TIME ? fileDate(mtime) : null
  return date === null ? {} : { "last-modified": date.toUTCString() }
}

const isIndex = (path: LayerPath): boolean => nameOf(path) === "index.html"

/** Null: the client has set no variables, or may not, or there is nothing to put them into. */
function inlineRules({ isTrusted, path, repository, request }: Presented): readonly Replacement[] | null {
  const header = request.headers.get(INLINE_VARS)
  if (header === null || repository.inlineStatic.length === 0 || !isTrusted || !isIndex(path)) return null
  const vars = readInlineVars(header)
  return vars === null ? null : inlined(repository.inlineStatic, vars)
}

function cacheControl({ file, target }: Pick<Presented, "file" | "target">, isInlined: boolean): string {
  if (!file.isVerified) return "no-store"
  if (isInlined) return "no-cache"
  return target.digest === null ? "public, max-age=60" : "public, max-age=31536000, immutable"
}
