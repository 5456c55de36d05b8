/** A span of bytes: `start` is included, `end` is not. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * Reads a Range header for content of `size` bytes (RFC 9110, 14.1.2 and 14.2). Null: there is none, or it is one to
 * ignore (another unit, bad syntax, several ranges), so the whole content is the answer.
 */
export function parseRange(header: string | null, size: number): ByteRange | "unsatisfiable" | null {
  const match = /^\s*bytes\s*=\s*(?:(\d+)\s*)?-\s*(?:(\d+)\s*)?$/i.exec(header ?? "")
  if (match === null) return null
  const [, first = "", last = ""] = match
  if (first === "") return last === "" ? null : suffixRange(Number(last), size)
  const start = Number(first)
  const end = last === "" ? size : Number(last) + 1
  if (end <= start && last !== "") return "unsatisfiable"
  return start >= size ? "unsatisfiable" : { start, end: Math.min(end, size) }
}

function suffixRange(length: number, size: number): ByteRange | "unsatisfiable" {
  return length === 0 || size === 0 ? "unsatisfiable" : { start: Math.max(0, size - length), end: size }
}
