import { ArchiveError } from "./archive-error.ts"

/** What an extended header says of the entry after it; null is nothing. Texts are bytes as latin1. */
export interface PaxValues {
  readonly path: string | null
  readonly linkpath: string | null
  readonly size: number | null
  readonly mtime: number | null
}

const NUMBER = /^\d{1,16}$/
const TIME = /^-?\d{1,16}(?:\.\d*)?$/

/**
 * Reads the records of an extended header (POSIX.1-2017, pax: "pax Extended Header"). Throws ArchiveError where readers
 * are known to differ: lengths that do not fit, empty values, sparse files, another character set.
 */
export function parsePax(bytes: Uint8Array): PaxValues {
  const records = readRecords(bytes)
  const text = (key: string): string | null => {
    const value = records.get(key)
    if (value === undefined) return null
    if (value === "" || value.includes("\0")) throw new ArchiveError(`an extended header has a ${key} that is no name`)
    return value
  }
  const number = (key: string, form: RegExp): number | null => {
    const value = records.get(key)
    if (value === undefined) return null
    const parsed = form.test(value) ? Number(value) : Number.NaN
    if (!(Math.abs(parsed) <= Number.MAX_SAFE_INTEGER))
      throw new ArchiveError(`an extended header has a ${key} that is no number`)
    return parsed
  }
  for (const key of ["uid", "gid"]) number(key, NUMBER)
  for (const key of ["atime", "ctime"]) number(key, TIME)
  return { path: text("path"), linkpath: text("linkpath"), size: number("size", NUMBER), mtime: number("mtime", TIME) }
}

/** A global header may say anything but what an entry is called and how long it is: not every reader follows it there. */
export function checkGlobalPax(bytes: Uint8Array): void {
  const { path, linkpath, size } = parsePax(bytes)
  if (path !== null || linkpath !== null || size !== null)
    throw new ArchiveError("a global header changes names or sizes")
}

/** `length key=value\n`, where length counts the whole record. The last of several with one key holds. */
function readRecords(bytes: Uint8Array): ReadonlyMap<string, string> {
  const text = Buffer.from(bytes).toString("latin1")
  const records = new Map<string, string>()
  for (let offset = 0; offset < text.length; ) {
    const [, digits = ""] = /^([1-9]\d{0,7}) /.exec(text.slice(offset, offset + 9)) ?? []
    const length = Number(digits)
    const record = text.slice(offset + digits.length + 1, offset + length)
    const equals = record.indexOf("=")
    if (digits === "" || offset + length > text.length || !record.endsWith("\n") || equals < 1)
      throw new ArchiveError("an extended header is damaged")
    addRecord(records, record.slice(0, equals), record.slice(equals + 1, -1))
    offset += length
  }
  return records
}

function addRecord(records: Map<string, string>, key: string, value: string): void {
  if (key.startsWith("GNU.sparse.")) throw new ArchiveError("sparse files are not supported")
  if (key.startsWith("GNU.")) throw new ArchiveError(`extended headers with ${key} are not supported`)
  if (key === "hdrcharset" || value.includes("hdrcharset"))
    throw new ArchiveError("an extended header sets a character set")
  records.set(key, value)
}
