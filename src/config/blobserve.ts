import { resolve } from "node:path"
import { parseDuration } from "../lib/duration.ts"
import type { Problem } from "../lib/validate.ts"
import { isDigest } from "../oci/digest.ts"
import { formatRepository, isRepositoryName, isTag, parseReference } from "../oci/reference.ts"
import type { BlobserveSection } from "./schema.ts"

export interface BlobserveConfig {
  readonly host: string
  readonly port: number
  /** 0 is for ever. */
  readonly timeoutMs: number
  /** By the name that requests use. */
  readonly repos: ReadonlyMap<string, RepoConfig>
  readonly allowAnyRepo: boolean
  /** Null: in the registry's store, or a temporary directory. */
  readonly location: string | null
  /** 0 is no limit. */
  readonly maxSizeBytes: number
}

export interface RepoConfig {
  /** Where a layout is on disk; null for anything else. */
  readonly dir: string | null
  /** Tags and digests. */
  readonly prePull: readonly string[]
  readonly workdir: string
  readonly layers: "first" | "all"
  readonly replacements: readonly { readonly path: string; readonly search: string; readonly replacement: string }[]
  readonly inlineStatic: readonly { readonly search: string; readonly replacement: string }[]
  readonly cors: readonly string[]
}

const LAYOUT = "oci:"
const MIN_FREE_BYTES = 1024 ** 3

export function toBlobserve(dir: string, section: BlobserveSection): BlobserveConfig {
  const { allowAnyRepo, blobSpace, host, port, repos, timeout } = section
  return {
    host: host ?? "0.0.0.0",
    port: port ?? 32_224,
    timeoutMs: typeof timeout === "number" ? timeout / 1e6 : parseDuration(timeout ?? "5s"),
    repos: new Map(
      Object.entries(repos ?? {}).map(([name, repo]) => [
        name,
        {
          dir: name.startsWith(LAYOUT) ? resolve(dir, name.slice(LAYOUT.length)) : null,
          prePull: repo.prePull ?? [],
          workdir: repo.workdir ?? "/",
          layers: repo.layers ?? "first",
          replacements: repo.replacements ?? [],
          inlineStatic: repo.inlineStatic ?? [],
          cors: repo.cors ?? [],
        },
      ]),
    ),
    allowAnyRepo: allowAnyRepo ?? false,
    location: blobSpace?.location === undefined || blobSpace.location === "" ? null : resolve(dir, blobSpace.location),
    maxSizeBytes: blobSpace?.maxSizeBytes ?? 0,
  }
}

/** Where a file server without a registry keeps everything. A limit of its own is all that it has to heed. */
export const storeOf = ({ location, maxSizeBytes }: BlobserveConfig) => ({
  store: location,
  storeMaxSizeBytes: maxSizeBytes,
  storeMinFreeBytes: maxSizeBytes === 0 ? MIN_FREE_BYTES : 0,
})

export function checkBlobserve({ blobSpace, repos = {} }: BlobserveSection, hasRegistry: boolean): readonly Problem[] {
  const space = hasRegistry ? checkShared(blobSpace) : []
  const ofRepos = Object.entries(repos).flatMap(([name, { prePull = [] }]) => {
    const path = ["blobserve", "repos", name]
    const fault = nameFault(name)
    const wrong = prePull.flatMap((version, index) =>
      isTag(version) || isDigest(version)
        ? []
        : [{ path: [...path, "prePull", index], message: "expected a tag or a digest" }],
    )
    return fault === null ? wrong : [{ path, message: fault }, ...wrong]
  })
  return [...space, ...ofRepos]
}

/** In the registry's store, a limit of another section would be passed over. */
function checkShared({ location = "", maxSizeBytes = 0 }: BlobserveSection["blobSpace"] = {}): readonly Problem[] {
  if (location !== "" || maxSizeBytes === 0) return []
  const message =
    'limits a directory of its own: add a "location", or limit the registry\'s store with "registry.storeMaxSizeBytes"'
  return [{ path: ["blobserve", "blobSpace", "maxSizeBytes"], message }]
}

/** By the prefixes of the spec providers; no registry's host is called so. */
export const isComposedName = (name: string): boolean => /^(?:fixed|remote)\//.test(name)

/** Requests name repositories in their canonical form alone, so another one would never be found. */
function nameFault(name: string): string | null {
  if (name.startsWith(LAYOUT)) {
    const parts = name.slice(LAYOUT.length).split("/")
    const isPlain = parts.slice(1).every((part) => part !== "" && part !== "." && part !== "..")
    return isPlain && parts[0] !== "" ? null : "a path that URLs can hold has no empty, . or .. parts behind its first"
  }
  if (isComposedName(name)) return isRepositoryName(name) ? null : "it is no name of a composed image"
  const canonical = canonicalName(name)
  if (canonical === null) return "expected a repository, like ghcr.io/acme/app"
  return canonical === name ? null : `requests call it ${canonical}, write it so`
}

function canonicalName(name: string): string | null {
  try {
    const reference = parseReference(name)
    if (reference.kind !== "registry" || reference.digest !== null || reference.tag !== "latest") return null
    return name.endsWith(":latest") ? null : formatRepository(reference.repository)
  } catch {
    return null
  }
}
