import { ArchiveError } from "./archive-error.ts"

const BASE_256 = "\x80"

/**
 * A number in a header field, given as latin1: octal digits, or base-256 as GNU writes what octal cannot hold. Readers
 * differ in what else they take for a number, so nothing else is one here.
 */
export function readNumber(field: string, name: string): number {
  if (field.startsWith(BASE_256)) return readBase256(field, name)
  const match = /^ *([0-7]+) *(?:\0|$)/.exec(field)
  if (match !== null) return Number.parseInt(match[1] ?? "", 8)
  if (field.startsWith("\0")) return 0
  throw new ArchiveError(`the ${name} in a header is no number`)
}

function readBase256(field: string, name: string): number {
  let value = 0n
  for (const byte of Buffer.from(field.slice(1), "latin1")) value = value * 256n + BigInt(byte)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ArchiveError(`the ${name} in a header is too large`)
  return Number(value)
}
