/** One entry of an archive; times and owners are fixed, so equal content gives equal bytes. */
export interface TarEntry {
  readonly type: "file" | "directory" | "symlink"
  /** Relative, without a leading or trailing slash. */
  readonly path: string
  /** Permission bits only. */
  readonly mode: number
  /** Bytes of content that follow the header; 0 for anything but a file. */
  readonly size: number
  /** Target of a symlink, else "". */
  readonly target: string
}

export const TAR_BLOCK = 512
/** Two zero blocks end an archive (POSIX.1-2017, pax: "ustar Interchange Format"). */
export const TAR_END = new Uint8Array(2 * TAR_BLOCK)

const TYPE_FLAG = { file: "0", directory: "5", symlink: "2" } as const
const NAME_LENGTH = 100
const PREFIX_LENGTH = 155
const MAX_OCTAL_SIZE = 8 * 1024 ** 3 - 1

/** Zero bytes that fill the last block of `size` bytes of content. */
export const tarPadding = (size: number): Uint8Array => new Uint8Array((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK)

/** The header of an entry: ustar, with a pax header before it only for what ustar cannot express. */
export function tarHeader(entry: TarEntry): Uint8Array {
  const path = entry.type === "directory" ? `${entry.path}/` : entry.path
  const split = splitPath(path)
  const records = paxRecords(path, split !== null, entry)
  const name = split ?? { prefix: "", name: truncated(path) }
  const header = ustarHeader(name, { ...entry, size: Math.min(entry.size, MAX_OCTAL_SIZE) }, TYPE_FLAG[entry.type])
  return records.byteLength === 0
    ? header
    : concatenated([paxHeader(records.byteLength), records, tarPadding(records.byteLength), header])
}

const CHECKSUM = { start: 148, end: 156 } as const

/** What the checksum of a header may be: the sum of all bytes, its own field as blanks; old writers took them as signed. */
export function tarChecksums(block: Uint8Array): readonly number[] {
  let unsigned = 0
  let high = 0
  for (let index = 0; index < block.byteLength; index += 1) {
    const byte = index >= CHECKSUM.start && index < CHECKSUM.end ? 0x20 : (block[index] ?? 0)
    unsigned += byte
    high += byte >> 7
  }
  return [unsigned, unsigned - high * 256]
}

interface SplitPath {
  readonly prefix: string
  readonly name: string
}

/** Null: the path does not fit into ustar's two fields. */
function splitPath(path: string): SplitPath | null {
  if (!isAscii(path)) return null
  if (path.length <= NAME_LENGTH) return { prefix: "", name: path }
  const slash = path.indexOf("/", path.length - NAME_LENGTH - 1)
  if (slash <= 0 || slash > PREFIX_LENGTH || slash === path.length - 1) return null
  return { prefix: path.slice(0, slash), name: path.slice(slash + 1) }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is the range from NUL
const isAscii = (text: string): boolean => /^[\x00-\x7f]*$/.test(text)

const fitsLink = (target: string): boolean => target.length <= NAME_LENGTH && isAscii(target)

/** Readers that know no pax headers still see something like the name. */
const truncated = (path: string): string => path.replace(/[^ -~]/g, "_").slice(-NAME_LENGTH)

function paxRecords(path: string, pathFits: boolean, { target, size }: TarEntry): Uint8Array {
  const records: string[] = []
  if (!pathFits) records.push(paxRecord("path", path))
  if (!fitsLink(target)) records.push(paxRecord("linkpath", target))
  if (size > MAX_OCTAL_SIZE) records.push(paxRecord("size", String(size)))
  return new TextEncoder().encode(records.join(""))
}

/** `length key=value\n`, where length counts itself (POSIX.1-2017, pax: "pax Extended Header"). */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const bytes = new TextEncoder().encode(rest).byteLength
  const guess = bytes + String(bytes).length
  return `${bytes + String(guess).length}${rest}`
}

const paxHeader = (size: number): Uint8Array =>
  ustarHeader({ prefix: "", name: "PaxHeaders/entry" }, { mode: 0o644, size, target: "" }, "x")

function ustarHeader(path: SplitPath, entry: Pick<TarEntry, "mode" | "size" | "target">, typeFlag: string): Uint8Array {
  const header = new Uint8Array(TAR_BLOCK)
  const put = (offset: number, text: string) => new TextEncoder().encodeInto(text, header.subarray(offset))
  const octal = (value: number, width: number) => value.toString(8).padStart(width - 1, "0")
  put(0, path.name)
  put(100, octal(entry.mode & 0o7777, 8))
  put(108, octal(0, 8)) // uid
  put(116, octal(0, 8)) // gid
  put(124, octal(entry.size, 12))
  put(136, octal(0, 12)) // mtime
  put(148, "        ")
  put(156, typeFlag)
  put(157, fitsLink(entry.target) ? entry.target : truncated(entry.target))
  put(257, "ustar\0" + "00")
  put(329, octal(0, 8)) // devmajor
  put(337, octal(0, 8)) // devminor
  put(345, path.prefix)
  put(
    148,
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      7,
    )}\0 `,
  )
  return header
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  let offset = 0
  for (const part of parts) {
    whole.set(part, offset)
    offset += part.byteLength
  }
  return whole
}
