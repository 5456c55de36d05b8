/**
 * Percent-encoded text into bytes, as latin1, because names in images need not be text. Null: it is not encoded properly.
 */
export function decodeBytes(text: string): string | null {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return null
  const bytes = Buffer.from(text, "utf8").toString("latin1")
  return bytes.replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
}
