import { type Digest, isDigest } from "../oci/digest.ts"

/** Pins carry what the index says, so that an index which was lost can be made again. */
export interface PinName {
  readonly digest: Digest
  readonly size: number
}

export const formatPinName = (prefix: string, { digest, size }: PinName): string => `${prefix}${digest}/${size}`

/** Null: the pin is not one of ours. */
export function parsePinName(prefix: string, name: string): PinName | null {
  if (!name.startsWith(prefix)) return null
  const [digest = "", size = "", ...rest] = name.slice(prefix.length).split("/")
  return isDigest(digest) && /^\d{1,15}$/.test(size) && rest.length === 0 ? { digest, size: Number(size) } : null
}
