declare const kind: unique symbol
type Algorithm = "sha256" | "sha512"
type Hash<Kind extends string> = `${Algorithm}:${string}` & { readonly [kind]: Kind }

/** Hash of bytes as sent over the wire (image-spec: descriptor.md, "Digests"). */
export type Digest = Hash<"digest">
/** Hash of a layer's uncompressed tar (image-spec: config.md, "Layer DiffID"). */
export type DiffID = Hash<"diffID">

const PATTERN = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const REGISTERED_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha512: 128, blake3: 64 }

/** True for a digest of an algorithm that can be verified here. */
export const isDigest = (text: string): text is Digest => PATTERN.test(text)

/** Throws TypeError when `text` is not a digest that can be verified here. */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new TypeError(`Cannot parse digest ${JSON.stringify(text.slice(0, 160))}: ${digestFault(text)}`)
}

/** Throws TypeError when `text` is not a diffID that can be verified here. */
export function parseDiffID(text: string): DiffID {
  if (isDiffID(text)) return text
  throw new TypeError(`Cannot parse diffID ${JSON.stringify(text.slice(0, 160))}: ${digestFault(text)}`)
}

const isDiffID = (text: string): text is DiffID => PATTERN.test(text)

/** An uncompressed layer is its own tar, so both hashes are the same (image-spec: config.md, "Layer DiffID"). */
export const uncompressedDiffID = (digest: Digest): DiffID => parseDiffID(digest)

/**
 * True for text that the digest grammar allows, also of algorithms unknown here; registered algorithms must have
 * their exact length (image-spec: descriptor.md, "Digests" and "Registered algorithms").
 */
export function isWellFormedDigest(text: string): boolean {
  if (text.length > 512 || !GRAMMAR.test(text)) return false
  const colon = text.indexOf(":")
  const length = REGISTERED_LENGTH[text.slice(0, colon)]
  return length === undefined || (text.length - colon - 1 === length && /^[0-9a-f]+$/.test(text.slice(colon + 1)))
}

function digestFault(text: string): string {
  if (isWellFormedDigest(text)) return "the algorithm is not supported, use sha256 or sha512"
  const match = /^(sha256|sha512):(.*)$/s.exec(text)
  if (match === null) return "expected sha256:<64 lower-case hexadecimal characters>"
  const wanted = REGISTERED_LENGTH[match[1] ?? ""] ?? 0
  const found = match[2] ?? ""
  if (found.length !== wanted) return `expected ${wanted} hexadecimal characters, got ${found.length}`
  return "expected lower-case hexadecimal characters only"
}

export const digestAlgorithm = (digest: Digest | DiffID): Algorithm =>
  digest.startsWith("sha512:") ? "sha512" : "sha256"

export const digestHex = (digest: Digest | DiffID): string => digest.slice(7)

/** A hash that grows with the bytes that pass. Not reusable after `digest()`. */
export interface Hasher {
  update(bytes: Uint8Array): void
  digest(): Digest
}

export function createHasher(algorithm: Algorithm = "sha256"): Hasher {
  const hasher = new Bun.CryptoHasher(algorithm)
  return {
    update: (bytes) => void hasher.update(bytes),
    digest: () => parseDigest(`${algorithm}:${hasher.digest("hex")}`),
  }
}

/** SHA-256 of a small piece of content that is in memory anyway (a manifest, a config). */
export function digestOf(bytes: Uint8Array | string, algorithm: Algorithm = "sha256"): Digest {
  return parseDigest(`${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`)
}
