import { type Digest, parseDigest } from "./digest.ts"

/** A repository of a registry, in its canonical spelling: `{ host: "docker.io", path: "library/ubuntu" }`. */
export interface Repository {
  readonly host: string
  readonly path: string
}

export interface RegistryReference {
  readonly kind: "registry"
  readonly repository: Repository
  readonly tag: string | null
  /** Wins over the tag where both are given. */
  readonly digest: Digest | null
}

/** An image in an OCI image layout on disk (image-spec: image-layout.md). */
export interface LayoutReference {
  readonly kind: "layout"
  readonly dir: string
  readonly tag: string | null
  readonly digest: Digest | null
}

/** The empty image. */
export interface ScratchReference {
  readonly kind: "scratch"
}

/** Who wrote a reference or a spec: somebody who runs this registry, or somebody else whom its provider has asked. */
export type Trust = "operator" | "remote"

export type ImageReference = RegistryReference | LayoutReference | ScratchReference

const COMPONENT = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*"
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const HOST =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[a-fA-F0-9:.]+\])(?::[0-9]{1,5})?$/
const DOCKER_HUB = new Set(["docker.io", "index.docker.io", "registry-1.docker.io"])
const MAX_NAME_LENGTH = 255

/** True for a repository name (distribution-spec: "Pulling manifests"). */
export const isRepositoryName = (text: string): boolean => text.length <= MAX_NAME_LENGTH && NAME.test(text)

export const isTag = (text: string): boolean => TAG.test(text)

/**
 * Tags under which signatures, attestations and referrers are stored by convention. They name an image by its digest,
 * so they never exist for an image that was composed (distribution-spec: "Referrers Tag Schema").
 */
export const isDigestTag = (tag: string): boolean =>
  /^(?:sha256|sha512|blake3)-[0-9a-f]{64}(?:\.(?:sig|att|sbom))?$/.test(tag)

/**
 * Parses an image reference: `scratch`, `oci:DIR[:tag|@digest]`, or a reference to a registry, whose short forms are
 * completed as Docker does. Throws TypeError.
 */
export function parseReference(text: string): ImageReference {
  if (text === "scratch") return { kind: "scratch" }
  return text.startsWith("oci:") ? parseLayoutReference(text) : parseRegistryReference(text)
}

/** Throws TypeError. */
export function parseRegistryReference(text: string): RegistryReference {
  if (text.includes("://")) throw fault(text, 'expected no scheme, like "docker.io/library/ubuntu:24.04"')
  const { named, digest } = splitDigest(text)
  if (named.includes("@")) throw fault(text, "users and passwords do not belong into a reference")
  const { host, rest } = splitHost(named)
  const { path, tag } = splitTag(rest)
  if (tag !== null && !isTag(tag)) throw fault(text, `the tag ${JSON.stringify(tag)} is not valid`)
  const repository = canonicalRepository(host, path)
  if (!isHost(repository.host)) throw fault(text, `the host ${JSON.stringify(host)} is not valid`)
  if (!isRepositoryName(repository.path))
    throw fault(text, "a repository is lower-case words, joined by . _ __ - and /")
  return { kind: "registry", repository, tag: tag ?? (digest === null ? "latest" : null), digest }
}

function parseLayoutReference(text: string): LayoutReference {
  const { named, digest } = splitDigest(text.slice("oci:".length))
  const { path: dir, tag } = splitTag(named)
  if (dir === "" || dir.includes("\0") || tag === "")
    throw fault(text, "expected oci:DIR, oci:DIR:tag or oci:DIR@digest")
  return { kind: "layout", dir, tag, digest }
}

/** A digest holds no slash, so an "@" before one is something else. */
function splitDigest(text: string): { readonly named: string; readonly digest: Digest | null } {
  const at = text.lastIndexOf("@")
  if (at === -1 || text.includes("/", at)) return { named: text, digest: null }
  return { named: text.slice(0, at), digest: parseDigest(text.slice(at + 1)) }
}

/** A colon before a slash is that of a port. */
function splitTag(text: string): { readonly path: string; readonly tag: string | null } {
  const colon = text.lastIndexOf(":")
  if (colon <= text.lastIndexOf("/")) return { path: text, tag: null }
  return { path: text.slice(0, colon), tag: text.slice(colon + 1) }
}

/** The text before the first slash is a host only if it could not be a part of a name (as Docker decides). */
function splitHost(named: string): { readonly host: string; readonly rest: string } {
  const slash = named.indexOf("/")
  const first = slash === -1 ? "" : named.slice(0, slash)
  const isName = !/[.:]/.test(first) && first !== "localhost"
  return isName ? { host: "docker.io", rest: named } : { host: first, rest: named.slice(slash + 1) }
}

const isHost = (text: string): boolean => HOST.test(text) && URL.parse(`http://${text}`) !== null

/** One name per registry: Docker Hub has three. */
export const canonicalHost = (host: string): string =>
  DOCKER_HUB.has(host.toLowerCase()) ? "docker.io" : host.toLowerCase()

function canonicalRepository(written: string, path: string): Repository {
  const host = canonicalHost(written)
  if (host !== "docker.io") return { host, path }
  return { host, path: path.includes("/") ? path : `library/${path}` }
}

export const formatRepository = ({ host, path }: Repository): string => `${host}/${path}`

/** The repository or layout of an image, without tag and digest; a reference itself. */
export const formatLocation = (reference: RegistryReference | LayoutReference): string =>
  reference.kind === "layout"
    ? `oci:${reference.dir}${/:[^/]*$/.test(reference.dir) ? "/" : ""}`
    : formatRepository(reference.repository)

/** The canonical text: a reference by digest keeps its tag for people to read. */
export function formatReference(reference: ImageReference): string {
  if (reference.kind === "scratch") return "scratch"
  const name = formatLocation(reference)
  const tag = reference.tag === null ? "" : `:${reference.tag}`
  return reference.digest === null ? `${name}${tag}` : `${name}${tag}@${reference.digest}`
}

/** Text before an "@" may be a password that somebody wrote into a reference, so it is not repeated. */
function fault(text: string, reason: string): TypeError {
  const isHarmless = !text.includes("@") || /^[^@]*@sha\d+:[^@/]*$/.test(text)
  const shown = (isHarmless ? text : text.replace(/^.*@/s, "<redacted>@")).slice(0, 300)
  return new TypeError(`Cannot parse image reference ${JSON.stringify(shown)}: ${reason}`)
}
