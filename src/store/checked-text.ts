export const sha256 = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("hex")

/** A text as it is written, with a checksum of it and of what it is about. */
export const withChecksum = (text: string, about = ""): string => `${sha256(about + text)} ${text}`

/** Null: a crash has torn it, or it is about something else. */
export function checkedText(content: string, about = ""): string | null {
  const [checksum, text] = [content.slice(0, 64), content.slice(65)]
  return checksum === sha256(about + text) ? text : null
}
