import { ArchiveError } from "./archive-error.ts"
import { EntryTable } from "./entry-table.ts"
import type { LayerEntry, LayerTree } from "./layer-entry.ts"
import { ancestorsOf, cleanPath, joinPath, type LayerPath, nameOf, parentOf } from "./layer-path.ts"

const MAX_LINKS = 40
/** No archive of a real tree puts anything in the place of a directory; each time, all entries are looked at. */
const MAX_REPLACED = 64

/**
 * The entries of one archive, put where extracting it would put them: a later entry replaces an earlier one, and what is
 * below a symlink of the same archive goes to where that points.
 */
export class LayerEntries implements LayerTree {
  isComplete = false
  readonly #table = new EntryTable()
  /** Rows that a later entry has replaced together with the directory that they were in. */
  readonly #gone = new Set<number>()
  readonly #parents = new Set<LayerPath>()
  #replaced = 0

  /** Of all entries, also of those that were replaced. */
  get size(): number {
    return this.#table.count
  }

  /** The place of a name, with the archive's own symlinks on the way to it resolved. Throws ArchiveError. */
  place(name: string): LayerPath {
    const path = cleanPath(name)
    const parent = parentOf(path)
    return parent === "" ? path : joinPath(this.#resolve(parent), nameOf(path))
  }

  /** Throws ArchiveError for archives that replace directories all the time. */
  add(entry: LayerEntry): void {
    if (entry.type !== "directory" && this.#parents.has(entry.path)) this.#removeBelow(entry.path)
    this.#table.add(entry)
    for (const ancestor of ancestorsOf(entry.path)) this.#parents.add(ancestor)
  }

  find(path: LayerPath): LayerEntry | null {
    const row = this.#rowOf(path)
    return row === -1 ? null : this.#table.entry(row)
  }

  hasBelow(path: LayerPath): boolean {
    return path === "" ? this.#table.count > 0 : this.#parents.has(path)
  }

  /** In the order of paths. */
  *entries(): Generator<LayerEntry> {
    const rows = new Uint32Array(this.#table.count).map((_, row) => row)
    rows.sort((one, other) => this.#table.compare(one, other))
    for (const row of rows) {
      const isLatest = this.#table.find(this.#table.path(row)) === row
      if (isLatest && !this.#gone.has(row)) yield this.#table.entry(row)
    }
  }

  /** -1: there is none. */
  #rowOf(path: LayerPath): number {
    const row = this.#table.find(path)
    return this.#gone.has(row) ? -1 : row
  }

  #removeBelow(path: LayerPath): void {
    this.#replaced += 1
    if (this.#replaced > MAX_REPLACED) throw new ArchiveError(`it replaces more than ${MAX_REPLACED} directories`)
    this.#parents.delete(path)
    for (let row = 0; row < this.#table.count; row += 1) {
      const below = this.#table.path(row)
      if (!below.startsWith(`${path}/`)) continue
      this.#gone.add(row)
      this.#parents.delete(below)
    }
  }

  #resolve(path: LayerPath): LayerPath {
    let done = ""
    let todo = path.split("/")
    for (let links = 0; todo.length > 0; ) {
      const next = joinPath(done, todo.shift() ?? "")
      const row = this.#rowOf(next)
      if (row === -1 || this.#table.type(row) !== "symlink") {
        done = next
        continue
      }
      const { link } = this.#table.entry(row)
      links += 1
      if (links > MAX_LINKS) throw new ArchiveError("an entry is below too many symlinks")
      const base = link.startsWith("/") ? "" : parentOf(next)
      todo = [...splitPath(cleanPath(`${base}/${link}`)), ...todo]
      done = ""
    }
    return done
  }
}

const splitPath = (path: LayerPath): string[] => (path === "" ? [] : path.split("/"))

/** The order of bytes, which latin1 texts have in any locale. */
export const byBytes = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
