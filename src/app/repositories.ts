import { cleanPath, type LayerPath } from "../archive/layer-path.ts"
import type { FileImage } from "../blobserve/found-image.ts"
import { type BlobserveConfig, isComposedName, type RepoConfig } from "../config/blobserve.ts"
import { type FileTarget, formatImage } from "../http/blobserve/path.ts"
import type { ServedRepository } from "../http/blobserve/repository.ts"
import type { Replacement } from "../http/blobserve/rewrite.ts"
import { RegistryError } from "../oci/error.ts"
import { formatRepository, parseReference } from "../oci/reference.ts"

/** One that nobody has listed, where any may be served. */
const UNLISTED: ServedRepository = {
  layers: "first",
  workdir: "",
  replacements: new Map(),
  inlineStatic: [],
  cors: [],
  isListed: false,
}

/** How repositories are served, by the names that requests use. */
export function servedRepositories({
  allowAnyRepo,
  repos,
}: BlobserveConfig): (name: string) => ServedRepository | null {
  const listed = new Map([...repos].map(([name, repo]) => [name, served(repo)]))
  return (name) => listed.get(name) ?? (allowAnyRepo && !isOwn(name) ? UNLISTED : null)
}

/**
 * What only an operator can let be read: a layout is a directory of this machine, and a composed image may hold what the
 * registry's port asks a login for.
 */
const isOwn = (name: string): boolean => name.startsWith("oci:") || isComposedName(name)

function served({ cors, inlineStatic, layers, replacements, workdir }: RepoConfig): ServedRepository {
  const byPath = new Map<LayerPath, Replacement[]>()
  for (const { path, search, replacement } of replacements) {
    const place = cleanPath(Buffer.from(path).toString("latin1"))
    byPath.set(place, [...(byPath.get(place) ?? []), { search, replacement }])
  }
  const root = cleanPath(Buffer.from(workdir).toString("latin1"))
  return { layers, workdir: root, replacements: byPath, inlineStatic, cors, isListed: true }
}

type Named = Pick<FileTarget, "repository" | "tag" | "digest">

/** The image that a request names. Throws RegistryError for a name that is not canonical. */
export function imageNamed({ repos }: BlobserveConfig, { repository, tag, digest }: Named): FileImage {
  const repo = repos.get(repository)
  if (repo !== undefined && repo.dir !== null)
    return { kind: "stored", trust: "operator", repository, reference: { kind: "layout", dir: repo.dir, tag, digest } }
  if (isComposedName(repository)) return { kind: "composed", name: repository, digest }
  const text = formatImage({ repository, tag, digest })
  const reference = parsed(text)
  if (reference?.kind !== "registry" || formatRepository(reference.repository) !== repository)
    throw new RegistryError(
      "NAME_INVALID",
      `cannot parse image ${JSON.stringify(text.slice(0, 200))}: it is not canonical`,
      {
        status: 404,
      },
    )
  return { kind: "stored", trust: repo === undefined ? "remote" : "operator", repository, reference }
}

function parsed(text: string): ReturnType<typeof parseReference> | null {
  try {
    return parseReference(text)
  } catch {
    return null
  }
}
