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
  const at = text.indexOf("@")
  const digest = at === -1 ? null : parseDigest(text.slice(at + 1))
  const named = at === -1 ? text : text.slice(0, at)
  const { host, rest } = splitHost(named)
  const colon = rest.lastIndexOf(":")
  const tag = colon === -1 ? null : rest.slice(colon + 1)
  const path = colon === -1 ? rest : rest.slice(0, colon)
  if (tag !== null && !isTag(tag)) throw fault(text, `the tag ${JSON.stringify(tag)} is not valid`)
  const repository = canonicalRepository(host, path)
  if (!HOST.test(repository.host)) throw fault(text, `the host ${JSON.stringify(host)} is not valid`)
  if (!isRepositoryName(repository.path))
    throw fault(text, "a repository is lower-case words, joined by . _ __ - and /")
  return { kind: "registry", repository, tag: tag ?? (digest === null ? "latest" : null), digest }
}

function parseLayoutReference(text: string): LayoutReference {
  const rest = text.slice("oci:".length)
  const at = rest.lastIndexOf("@")
  if (at !== -1) return layout(text, rest.slice(0, at), null, parseDigest(rest.slice(at + 1)))
  const colon = rest.lastIndexOf(":")
  if (colon <= rest.lastIndexOf("/")) return layout(text, rest, null, null)
  return layout(text, rest.slice(0, colon), rest.slice(colon + 1), null)
}

function layout(text: string, dir: string, tag: string | null, digest: Digest | null): LayoutReference {
  if (dir === "" || dir.includes("\0")) throw fault(text, "expected oci:DIR, oci:DIR:tag or oci:DIR@digest")
  return { kind: "layout", dir, tag, digest }
}

/** The text before the first slash is a host only if it could not be a part of a name (as Docker decides). */
function splitHost(named: string): { readonly host: string; readonly rest: string } {
  const slash = named.indexOf("/")
  const first = slash === -1 ? "" : named.slice(0, slash)
  const isHost = first.includes(".") || first.includes(":") || first === "localhost" || first !== first.toLowerCase()
  return isHost ? { host: first, rest: named.slice(slash + 1) } : { host: "docker.io", rest: named }
}

function canonicalRepository(host: string, path: string): Repository {
  const lower = host.toLowerCase()
  if (!DOCKER_HUB.has(lower)) return { host: lower, path }
  return { host: "docker.io", path: path.includes("/") ? path : `library/${path}` }
}

export const formatRepository = ({ host, path }: Repository): string => `${host}/${path}`

/** The repository or layout of an image, without tag and digest; a reference itself. */
export const formatLocation = (reference: RegistryReference | LayoutReference): string =>
  reference.kind === "layout" ? `oci:${reference.dir}` : formatRepository(reference.repository)

/** The canonical text: a reference by digest keeps its tag for people to read. */
export function formatReference(reference: ImageReference): string {
  if (reference.kind === "scratch") return "scratch"
  const name = formatLocation(reference)
  const tag = reference.tag === null ? "" : `:${reference.tag}`
  return reference.digest === null
    ? `${name}${tag}`
    : `${name}${reference.kind === "layout" ? "" : tag}@${reference.digest}`
}

/** Text before an "@" may be a password that somebody wrote into a reference, so it is not repeated. */
function fault(text: string, reason: string): TypeError {
  const shown = text.replace(/^[^/]*:[^/]*@/, "<redacted>@").slice(0, 300)
  return new TypeError(`Cannot parse image reference ${JSON.stringify(shown)}: ${reason}`)
}
