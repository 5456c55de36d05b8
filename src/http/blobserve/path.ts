import { cleanPath, type LayerPath } from "../../archive/layer-path.ts"
import { type Digest, parseDigest } from "../../oci/digest.ts"
import { RegistryError } from "../../oci/error.ts"
import { isTag } from "../../oci/reference.ts"
import { errorText } from "../../telemetry/log.ts"
import { decodeBytes } from "./encoding.ts"

/** What a request's path names. */
export interface FileTarget {
  /** As the configuration's `repos` write it: a canonical repository, a layout, or the name of a composed image. */
  readonly repository: string
  /** Null only with a digest. */
  readonly tag: string | null
  readonly digest: Digest | null
  /** Below the repository's workdir. */
  readonly path: LayerPath
  /** True where the path ends with a slash, and so means a directory. */
  readonly isDirectory: boolean
}

/** As images are written. */
export const formatImage = ({ digest, repository, tag }: Pick<FileTarget, "digest" | "repository" | "tag">): string =>
  `${repository}${tag === null ? "" : `:${tag}`}${digest === null ? "" : `@${digest}`}`

/** Parts of the path that proxies of the original put in or take out. */
const MOUNT = "blobserve"
const SEPARATOR = "__files__"

/**
 * Reads `/<repository>[:tag][@digest]/[__files__/]<path>`. `layouts` are the names that may hold anything, like `oci:dir`.
 * Throws RegistryError.
 */
export function parseFilePath(pathname: string, layouts: readonly string[]): FileTarget {
  const all = pathname.slice(1).split("/")
  const segments = (all[0] === MOUNT && all.length > 1 ? all.slice(1) : all).map(decodeSegment)
  const { image, rest } = splitImage(segments, layouts)
  const path = rest[0] === SEPARATOR ? rest.slice(1) : rest
  if (path.slice(0, -1).includes("") || path.some((part) => part === "." || part === ".."))
    throw new RegistryError("NAME_INVALID", "Cannot read the path: it is not in its shortest form", { status: 404 })
  return { ...image, path: pathInImage(path.join("/")), isDirectory: path.at(-1) === "" }
}

/** Throws RegistryError for what is no path in any image. */
export function pathInImage(text: string): LayerPath {
  try {
    return cleanPath(text)
  } catch (cause) {
    throw new RegistryError("NAME_INVALID", `Cannot read the path: ${errorText(cause)}`, { status: 404, cause })
  }
}

/** What then holds a separator or a NUL was an attempt to be clever. */
function decodeSegment(segment: string): string {
  const decoded = decodeBytes(segment)
  if (decoded === null || /[/\0]/.test(decoded)) throw notEncoded()
  return decoded
}

const notEncoded = () =>
  new RegistryError("NAME_INVALID", "Cannot read the path: it is not encoded properly", { status: 400 })

interface Split {
  readonly image: Pick<FileTarget, "repository" | "tag" | "digest">
  readonly rest: readonly string[]
}

/** How the names of layouts begin. */
const LAYOUT = "oci:"

/** The image ends with the first segment that has a tag or a digest; a colon in the first one is that of a port. */
function splitImage(segments: readonly string[], layouts: readonly string[]): Split {
  const whole = segments.join("/")
  const layout = layouts
    .filter((name) => whole.startsWith(`${name}:`) || whole.startsWith(`${name}@`))
    .toSorted((one, other) => other.length - one.length)[0]
  const name = layout ?? (whole.startsWith(LAYOUT) ? LAYOUT : null)
  const first = name === null ? 1 : name.split("/").length - 1
  const skipped = name === null || first > 0 ? 0 : name.length
  const end = segments.findIndex(
    (segment, index) => index >= first && /[:@]/.test(segment.slice(index === 0 ? skipped : 0)),
  )
  if (end === -1) throw unfinished(segments)
  return { image: parseImage(segments.slice(0, end + 1).join("/"), layout), rest: segments.slice(end + 1) }
}

function unfinished(segments: readonly string[]): RegistryError {
  const [first = ""] = segments
  const image = JSON.stringify(segments.join("/").slice(0, 200))
  const reason =
    /^[^:@]+:[^:@]+$/.test(first) && !first.startsWith(LAYOUT)
      ? `, as ${JSON.stringify(first.slice(0, 200))} can only be a host and its port`
      : ""
  return new RegistryError("NAME_INVALID", `cannot parse image ${image}: its tag or digest is missing${reason}`, {
    status: 404,
  })
}

function parseImage(text: string, layout: string | undefined): Split["image"] {
  const at = text.indexOf("@", layout?.length ?? 0)
  const named = at === -1 ? text : text.slice(0, at)
  const colon = named.lastIndexOf(":")
  const hasTag = colon > named.lastIndexOf("/") && (layout === undefined || colon >= layout.length)
  const tag = hasTag ? named.slice(colon + 1) : null
  try {
    const digest = at === -1 ? null : parseDigest(text.slice(at + 1))
    if (tag !== null && !isTag(tag)) throw new TypeError(`the tag ${JSON.stringify(tag)} is not valid`)
    return { repository: hasTag ? named.slice(0, colon) : named, tag, digest }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new RegistryError("NAME_INVALID", `cannot parse image ${JSON.stringify(text.slice(0, 200))}: ${reason}`, {
      status: 404,
    })
  }
}
