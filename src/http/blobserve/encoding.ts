import type { LayerPath } from "../../archive/layer-path.ts"

/**
 * Percent-encoded text into bytes, as latin1, because names in images need not be text. Null: it is not encoded properly.
 */
export function decodeBytes(text: string): string | null {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return null
  const bytes = Buffer.from(text, "utf8").toString("latin1")
  return bytes.replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** For the path of a URL. */
export const encodedPath = (path: LayerPath): string =>
  Buffer.from(path, "latin1").reduce((text, byte) => text + encodedByte(byte), "")

function encodedByte(byte: number): string {
  const character = String.fromCharCode(byte)
  return /[\w/.~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
}
