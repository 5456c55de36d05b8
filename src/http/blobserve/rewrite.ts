import { type BytesBlob, type LocatedBlob, openAt } from "../../blob/blob.ts"
import { readBytes } from "../../lib/stream.ts"
import { digestOf } from "../../oci/digest.ts"

/** Text that stands for other text. */
export interface Replacement {
  readonly search: string
  readonly replacement: string
}

/** Larger files are sent as they are: what is rewritten is held in memory. */
export const MAX_REWRITTEN_BYTES = 8 * 1024 * 1024

/** The same content with texts replaced, in their order; another content, so with another digest. */
export async function rewritten(
  blob: LocatedBlob,
  replacements: readonly Replacement[],
  signal: AbortSignal,
): Promise<LocatedBlob> {
  const { descriptor } = blob
  if (replacements.length === 0 || descriptor.size > MAX_REWRITTEN_BYTES) return blob
  const ready = blob.kind === "cold" ? await blob.obtain(signal) : blob
  let content: Uint8Array = await readBytes(await openAt(ready, 0, signal), descriptor.size)
  for (const { search, replacement } of replacements) content = replaced(content, search, replacement)
  return bytesBlob(new Uint8Array(content), descriptor.mediaType)
}

function bytesBlob(bytes: Uint8Array<ArrayBuffer>, mediaType: string): BytesBlob {
  return { kind: "bytes", bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength } }
}

/** In bytes, because a file need not be text. */
function replaced(bytes: Uint8Array, search: string, replacement: string): Uint8Array {
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const wanted = Buffer.from(search)
  if (wanted.length === 0) return content
  const parts: Buffer[] = []
  let from = 0
  for (let at = content.indexOf(wanted); at !== -1; at = content.indexOf(wanted, from)) {
    parts.push(content.subarray(from, at), Buffer.from(replacement))
    from = at + wanted.length
  }
  return parts.length === 0 ? content : Buffer.concat([...parts, content.subarray(from)])
}

/**
 * Reads `X-BlobServe-InlineVars`: a JSON object of texts. Only what is safe to put into HTML and scripts counts, so that
 * nobody can smuggle markup into a page. Null: the header is none of that, and the page stays as it is.
 */
export function readInlineVars(header: string): ReadonlyMap<string, string> | null {
  const value = parsed(header)
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null
  const vars = new Map(Object.entries(value))
  const isSafe = [...vars.values()].every((text) => typeof text === "string" && /^[\w:/.~@%?&=+,;#-]*$/.test(text))
  return isSafe ? new Map([...vars].map(([name, text]) => [name, String(text)])) : null
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Puts variables, written `${name}`, into the texts that replace others. */
export const inlined = (rules: readonly Replacement[], vars: ReadonlyMap<string, string>): readonly Replacement[] =>
  rules.map(({ search, replacement }) => ({
    search,
    replacement: replacement.replace(/\$\{(\w+)\}/g, (whole, name) => vars.get(name) ?? whole),
  }))
