/** Decodes base64 or base64url, padded or not (RFC 4648, 4 and 5), of any length. Null: it is neither. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | null {
  const digits = text.replace(/={1,2}$/, "")
  const isPadded = digits.length < text.length
  const isWhole = isPadded ? text.length % 4 === 0 : text.length % 4 !== 1
  return isWhole && /^[\w+/-]*$/.test(digits) ? new Uint8Array(Buffer.from(digits, "base64")) : null
}
