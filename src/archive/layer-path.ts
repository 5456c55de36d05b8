import { ArchiveError } from "./archive-error.ts"

/** Bytes as latin1. A path is relative to the image's root, without empty, "." or ".." components; "" is the root. */
export type LayerPath = string

const MAX_PATH = 4096
const MAX_COMPONENT = 255
/** Real trees are less than a hundred deep; every part is a directory to be known. */
const MAX_DEPTH = 256

/** Cleans a name of an archive; ".." at the root stays there, as in a chroot. Throws ArchiveError for names no system takes. */
export function cleanPath(name: string): LayerPath {
  if (name.length > MAX_PATH) throw new ArchiveError(`a name has more than ${MAX_PATH} bytes`)
  const components: string[] = []
  for (const component of name.split("/")) {
    if (component.length > MAX_COMPONENT)
      throw new ArchiveError(`a part of a name has more than ${MAX_COMPONENT} bytes`)
    if (component === "..") components.pop()
    else if (component !== "" && component !== ".") components.push(component)
  }
  if (components.length > MAX_DEPTH) throw new ArchiveError(`a path has more than ${MAX_DEPTH} parts`)
  return components.join("/")
}

export const joinPath = (parent: LayerPath, name: string): LayerPath => (parent === "" ? name : `${parent}/${name}`)

export const parentOf = (path: LayerPath): LayerPath => path.slice(0, Math.max(0, path.lastIndexOf("/")))

export const nameOf = (path: LayerPath): string => path.slice(path.lastIndexOf("/") + 1)

/** Everything above a path, nearest to the root first; the root itself is not among them. */
export function* ancestorsOf(path: LayerPath): Generator<LayerPath> {
  for (let slash = path.indexOf("/"); slash !== -1; slash = path.indexOf("/", slash + 1)) yield path.slice(0, slash)
}

const WHITEOUT = ".wh."
const OPAQUE = ".wh..wh..opq"

/** In the order of bytes, after all whiteouts and before every other name that is after them. */
export const PAST_WHITEOUTS = WHITEOUT.padEnd(MAX_COMPONENT, "\xff")

/** Names that speak of other layers' files and are no files themselves (image-spec: layer.md, "Whiteouts"). */
export const isWhiteoutName = (name: string): boolean => name.startsWith(WHITEOUT)

/** The entry that hides `path` of lower layers. */
export const whiteoutOf = (path: LayerPath): LayerPath => joinPath(parentOf(path), WHITEOUT + nameOf(path))

/** The entry that hides everything in the directory `path` of lower layers. */
export const opaqueMarkerOf = (path: LayerPath): LayerPath => joinPath(path, OPAQUE)
