import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "jsonc-parser"

/** A package of the lockfile, as it is installed. */
export interface Package {
  readonly name: string
  readonly version: string
  /** SPDX expression; "unknown" where the package tells none. */
  readonly licence: string
  /** Of the archive that the registry gives, as in Subresource Integrity: "sha512-..." in base64. */
  readonly integrity: string
  /** Names with versions, "name@version", of what it needs. */
  readonly needs: readonly string[]
}

export interface Packages {
  /** What the program may hold of: everything that its dependencies need. */
  readonly program: readonly Package[]
  /** What else is installed to build and to test it. */
  readonly development: readonly Package[]
}

interface Needs {
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
  readonly optionalPeers?: readonly string[]
  readonly os?: unknown
  readonly cpu?: unknown
}

interface Lock {
  readonly workspaces: { readonly "": Needs & { readonly devDependencies?: Readonly<Record<string, string>> } }
  /** By their place: "name", or "parent/name" where the parent has a version of its own. */
  readonly packages: Readonly<Record<string, readonly [id: string, registry: string, needs: Needs, integrity: string]>>
}

/** Reads bun.lock and what is installed. Packages for single platforms are left out, as others are installed elsewhere. */
export function readPackages(root: string): Packages {
  const lock: Lock = parse(readFileSync(join(root, "bun.lock"), "utf8"), [], { allowTrailingComma: true })
  const { dependencies = {}, devDependencies = {} } = lock.workspaces[""]
  const program = reach(lock, Object.keys(dependencies))
  const all = reach(lock, [...Object.keys(dependencies), ...Object.keys(devDependencies)])
  const listed = (places: Iterable<string>) => unique([...places].map((place) => toPackage(root, lock, place)))
  return { program: listed(program), development: listed([...all].filter((place) => !program.has(place))) }
}

function reach(lock: Lock, names: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>()
  const open = names.flatMap((name) => resolvePlace(lock, [], name))
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    if (found.has(place)) continue
    found.add(place)
    open.push(...neededPlaces(lock, place))
  }
  return found
}

function neededPlaces(lock: Lock, place: string): readonly string[] {
  const { dependencies = {}, peerDependencies = {}, optionalPeers = [] } = lock.packages[place]?.[2] ?? {}
  const peers = Object.keys(peerDependencies).filter((name) => !optionalPeers.includes(name))
  return [...Object.keys(dependencies), ...peers].flatMap((name) => resolvePlace(lock, segmentsOf(place), name))
}

/** As Node.js looks for it: beside the parent, then one level up, and so on. Empty: not there, or for one platform. */
function resolvePlace(lock: Lock, parents: readonly string[], name: string): readonly string[] {
  const place = [...parents, name].join("/")
  const entry = lock.packages[place]
  if (entry !== undefined) return entry[2].os === undefined && entry[2].cpu === undefined ? [place] : []
  return parents.length === 0 ? [] : resolvePlace(lock, parents.slice(0, -1), name)
}

const segmentsOf = (place: string): readonly string[] => place.match(/@[^/]+\/[^/]+|[^/]+/g) ?? []

function toPackage(root: string, lock: Lock, place: string): Package {
  const [id = "", , , integrity = ""] = lock.packages[place] ?? []
  const directory = join(root, ...segmentsOf(place).flatMap((name) => ["node_modules", name]))
  const installed: unknown = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"))
  const at = id.lastIndexOf("@")
  return {
    name: id.slice(0, at),
    version: id.slice(at + 1),
    licence: licenceOf(installed),
    integrity,
    needs: neededPlaces(lock, place).map((needed) => lock.packages[needed]?.[0] ?? needed),
  }
}

/** Old packages have an object, or a list of them. */
function licenceOf(installed: unknown): string {
  if (typeof installed !== "object" || installed === null) return "unknown"
  const written = "license" in installed ? installed.license : "licenses" in installed ? installed.licenses : null
  const names = [written].flat().map((licence) => {
    if (typeof licence === "string") return licence
    return typeof licence === "object" && licence !== null && "type" in licence ? String(licence.type) : "unknown"
  })
  return names.join(" OR ")
}

function unique(packages: readonly Package[]): readonly Package[] {
  const byId = new Map(packages.map((entry) => [`${entry.name}@${entry.version}`, entry]))
  return [...byId.keys()].sort().flatMap((id) => byId.get(id) ?? [])
}
