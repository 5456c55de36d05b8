import { tarChecksums } from "../oci/tar.ts"
import { ArchiveError } from "./archive-error.ts"
import { readNumber } from "./tar-number.ts"

/** One header block as it is written, before extended headers change what it says. Texts are bytes as latin1. */
export interface TarHeader {
  /** The type flag; "\0" is the old form of "0". */
  readonly flag: string
  readonly name: string
  readonly link: string
  readonly mode: number
  readonly size: number
  /** Seconds since the epoch. */
  readonly mtime: number
}

export const isZeroBlock = (block: Uint8Array): boolean => block[0] === 0 && block.every((byte) => byte === 0)

/** Reads a header (POSIX.1-2017, pax: "ustar Interchange Format"). Throws ArchiveError for what is none. */
export function parseHeader(block: Uint8Array): TarHeader {
  const header = Buffer.from(block.buffer, block.byteOffset, block.byteLength).toString("latin1")
  const field = (start: number, length: number) => header.slice(start, start + length)
  const text = (start: number, length: number) => untilNul(field(start, length))
  if (!tarChecksums(block).includes(readNumber(field(148, 8), "checksum")))
    throw new ArchiveError("a header has a wrong checksum")
  const prefix = text(345, 155)
  if (prefix !== "" && text(257, 6) !== "ustar")
    throw new ArchiveError("a name goes on in a field that is not one of its format")
  readNumber(field(108, 8), "owner")
  readNumber(field(116, 8), "group")
  return {
    flag: field(156, 1),
    name: prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`,
    link: text(157, 100),
    mode: readNumber(field(100, 8), "mode") & 0o7777,
    size: readNumber(field(124, 12), "size"),
    mtime: readTime(field(136, 12)),
  }
}

/** Times before 1970 are base-256 too; nobody needs to know them exactly. */
function readTime(field: string): number {
  return field.startsWith("\xff") ? 0 : readNumber(field, "time")
}

/** A text ends at its first NUL; what follows in the field is not part of it. */
export function untilNul(text: string): string {
  const nul = text.indexOf("\0")
  return nul === -1 ? text : text.slice(0, nul)
}
