import { ArchiveError } from "./archive-error.ts"
import type { PaxValues } from "./pax.ts"
import type { TarHeader } from "./tar-header.ts"

/** One entry of an archive, as it is written there. Names are bytes as latin1, neither checked nor cleaned. */
export interface TarMember {
  readonly type: "file" | "directory" | "symlink" | "hardlink" | "special"
  readonly name: string
  /** Target of a link, else "". */
  readonly link: string
  /** Permission bits. */
  readonly mode: number
  /** Bytes of content that follow; 0 for anything but a file. */
  readonly size: number
  /** Seconds since the epoch. */
  readonly mtime: number
}

/** What headers before the entry say of it. */
export interface Extensions {
  readonly pax: PaxValues | null
  /** GNU's headers for long names. */
  readonly longName: string | null
  readonly longLink: string | null
}

const TYPES: Readonly<Record<string, TarMember["type"]>> = {
  "0": "file",
  "\0": "file",
  "7": "file", // "contiguous", which nobody makes a difference of
  "1": "hardlink",
  "2": "symlink",
  "3": "special",
  "4": "special",
  "5": "directory",
  "6": "special",
}

/** Puts a header and its extensions together. Throws ArchiveError for what readers understand in different ways. */
export function toMember(header: TarHeader, extensions: Extensions): TarMember {
  const { pax } = extensions
  const extended = oneOf(pax?.path, extensions.longName)
  const link = oneOf(pax?.linkpath, extensions.longLink) ?? header.link
  const name = extended ?? header.name
  if (name === "") throw new ArchiveError("an entry has no name")
  const type = typeOf(header, extended)
  return {
    type,
    name,
    link: type === "symlink" || type === "hardlink" ? link : "",
    mode: header.mode,
    size: sizeOf(type, header, pax),
    mtime: Math.trunc(pax?.mtime ?? header.mtime),
  }
}

function oneOf(pax: string | null | undefined, gnu: string | null): string | null {
  if (typeof pax === "string" && gnu !== null) throw new ArchiveError("an entry has two long names")
  return pax ?? gnu
}

/** The header of a link may give the size of what it points to; all else that is no file has none. */
function sizeOf(type: TarMember["type"], header: TarHeader, pax: PaxValues | null): number {
  if (type === "file") return pax?.size ?? header.size
  if (type !== "hardlink" && header.size !== 0) throw new ArchiveError("an entry that is no file has content")
  if ((pax?.size ?? 0) !== 0) throw new ArchiveError("an entry that is no file has content")
  return 0
}

/** Before there was a flag for directories, a slash at the end of the name was it. */
function typeOf({ flag, name }: TarHeader, extended: string | null): TarMember["type"] {
  const type = TYPES[flag]
  if (flag === "S") throw new ArchiveError("sparse files are not supported")
  if (type === undefined) throw new ArchiveError(`entries of type ${JSON.stringify(flag)} are not supported`)
  if (type === "directory") return type
  const hasSlash = name.endsWith("/")
  if (flag === "\0" && hasSlash && extended === null) return "directory"
  if ((flag === "\0" && hasSlash) || (extended ?? name).endsWith("/"))
    throw new ArchiveError("an entry that is no directory is called like one")
  return type
}
