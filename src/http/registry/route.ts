import { type Digest, isDigest, isWellFormedDigest, parseDigest } from "../../oci/digest.ts"
import { RegistryError } from "../../oci/error.ts"
import { isRepositoryName, isTag } from "../../oci/reference.ts"

/** What a request below `/v2` is about (distribution-spec: "Endpoints"). */
export type RegistryRoute =
  | { readonly kind: "base" }
  | { readonly kind: "manifest"; readonly name: string; readonly tag: string }
  | { readonly kind: "manifest-by-digest"; readonly name: string; readonly digest: Digest }
  | { readonly kind: "blob"; readonly name: string; readonly digest: Digest }
  | { readonly kind: "tags"; readonly name: string }
  | { readonly kind: "referrers"; readonly name: string; readonly digest: Digest | null }
  | { readonly kind: "upload"; readonly name: string }

/**
 * Parses the path after `/v2/`, as it was sent. Read from the right, because a name may hold any of the words between
 * it and a reference. Throws RegistryError.
 */
export function parseRoute(path: string): RegistryRoute {
  const segments = path.split("/")
  if (UNUSUAL.test(path)) for (const [index, segment] of segments.entries()) segments[index] = decodeSegment(segment)
  if (segments.length === 1 && segments[0] === "") return { kind: "base" }
  const verb = segments.at(-2) ?? ""
  const read = Object.hasOwn(VERBS, verb) ? VERBS[verb] : undefined
  const route = read?.(segments.slice(0, -2).join("/"), segments.at(-1) ?? "") ?? null
  if (route !== null) return route
  if (segments.length === 1 && segments[0] === "_catalog") {
    throw new RegistryError("UNSUPPORTED", "Listing all names is not supported", { status: 404 })
  }
  throw new RegistryError("NAME_UNKNOWN", "There is nothing at this path of the registry")
}

/** By the last segment but one: what stands before it, and the last. Null: not such a route after all. */
const VERBS: Readonly<Record<string, (name: string, last: string) => RegistryRoute | null>> = {
  manifests: (name, last) => manifestRoute(validName(name), last),
  blobs: (name, last) =>
    last === "uploads"
      ? { kind: "upload", name: validName(name) }
      : { kind: "blob", name: validName(name), digest: blobDigest(last) },
  referrers: (name, last) => ({ kind: "referrers", name: validName(name), digest: subjectDigest(last) }),
  tags: (name, last) => (last === "list" ? { kind: "tags", name: validName(name) } : null),
  uploads: (name) =>
    name.endsWith("/blobs") ? { kind: "upload", name: validName(name.slice(0, -"/blobs".length)) } : null,
}

/** What a path holds that has to be decoded, or refused; looked for in all of it at once, because it is rare. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNUSUAL = /[%\\\x00-\x1f\x7f]/

/** Each segment is decoded once; what then holds a separator or a control character was an attempt to be clever. */
function decodeSegment(segment: string): string {
  const decoded = segment.includes("%") ? safeDecode(segment) : segment
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (decoded === null || /[/\\\x00-\x1f\x7f]/.test(decoded))
    throw new RegistryError("NAME_INVALID", "Cannot read the path: it is not encoded properly")
  return decoded
}

function safeDecode(segment: string): string | null {
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}

function validName(name: string): string {
  if (isRepositoryName(name)) return name
  throw new RegistryError(
    "NAME_INVALID",
    `Cannot use ${JSON.stringify(name.slice(0, 300))} as a name: expected lower-case words, joined by . _ __ - and /`,
  )
}

function manifestRoute(name: string, reference: string): RegistryRoute {
  if (!reference.includes(":")) {
    if (isTag(reference)) return { kind: "manifest", name, tag: reference }
    throw new RegistryError(
      "MANIFEST_UNKNOWN",
      `Cannot find ${name}: ${JSON.stringify(reference.slice(0, 200))} is no tag`,
    )
  }
  if (isDigest(reference)) return { kind: "manifest-by-digest", name, digest: reference }
  if (isWellFormedDigest(reference))
    throw new RegistryError("MANIFEST_UNKNOWN", `Cannot find ${reference} in ${name}: its algorithm is not supported`)
  throw invalidDigest(reference)
}

function blobDigest(text: string): Digest {
  if (isDigest(text)) return text
  if (isWellFormedDigest(text))
    throw new RegistryError("BLOB_UNKNOWN", `Cannot find blob ${text}: its algorithm is not supported`)
  throw invalidDigest(text)
}

/** Null: a digest of an algorithm that nothing here has, so it has no referrers. */
function subjectDigest(text: string): Digest | null {
  if (isDigest(text)) return text
  if (isWellFormedDigest(text)) return null
  throw invalidDigest(text)
}

function invalidDigest(text: string): RegistryError {
  try {
    parseDigest(text)
  } catch (error) {
    return new RegistryError("DIGEST_INVALID", error instanceof Error ? error.message : String(error))
  }
  throw new TypeError(`Cannot tell what is wrong with the digest ${text}`)
}
