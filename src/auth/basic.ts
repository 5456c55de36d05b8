export interface BasicCredentials {
  readonly user: string
  /** As sent: which encoding a password is in, only its user knows. */
  readonly password: Uint8Array
}

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i
const COLON = 0x3a

/** Credentials of an Authorization header (RFC 7617). Null: there are none, or none that this RFC allows. */
export function parseBasic(authorization: string | null): BasicCredentials | null {
  const encoded = BASIC.exec(authorization?.trim() ?? "")?.[1]
  if (encoded === undefined) return null
  const bytes = Buffer.from(encoded, "base64")
  const colon = bytes.indexOf(COLON)
  if (colon === -1 || bytes.some(isControl)) return null
  return { user: bytes.toString("utf8", 0, colon), password: bytes.subarray(colon + 1) }
}

const isControl = (byte: number): boolean => byte < 0x20 || byte === 0x7f
