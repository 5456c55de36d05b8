import { ArchiveError } from "./archive-error.ts"
import { EntryTable } from "./entry-table.ts"
import type { LayerEntry, LayerTree } from "./layer-entry.ts"
import { cleanPath, joinPath, type LayerPath, parentOf } from "./layer-path.ts"

const MAX_LINKS = 40
/** No archive of a real tree puts anything in the place of a directory; each time makes every look-up longer. */
const MAX_REPLACED = 64

/** What was below a directory when something else took its place. */
interface Removal {
  /** Of the paths below, with its slash. */
  readonly prefix: string
  /** Rows that were there. */
  readonly rows: number
}

/**
 * The entries of one archive, put where extracting it would put them: a later entry replaces an earlier one, and what is
 * below a symlink of the same archive goes to where that points.
 */
export class LayerEntries implements LayerTree {
  isComplete = false
  readonly #table = new EntryTable()
  readonly #removals: Removal[] = []
  /** Every directory that has something below it, with the row that says so; with each of them, all above it. */
  readonly #parents = new Map<LayerPath, number>()

  /** Of all entries, also of those that were replaced. */
  get size(): number {
    return this.#table.count
  }

  /** Directories that have something below them, also those that were replaced. */
  get parents(): number {
    return this.#parents.size
  }

  /** The place of a name, with the archive's own symlinks on the way to it resolved. Throws ArchiveError. */
  place(name: string): LayerPath {
    let path = cleanPath(name)
    for (let links = 0; ; links += 1) {
      const below = this.#firstUnknown(path)
      const row = below.length === path.length ? -1 : this.#rowOf(below)
      if (row === -1 || this.#table.type(row) !== "symlink") return path
      if (links === MAX_LINKS) throw new ArchiveError("an entry is below too many symlinks")
      const { link } = this.#table.entry(row)
      const base = link.startsWith("/") ? "" : parentOf(below)
      path = cleanPath(joinPath(cleanPath(`${base}/${link}`), path.slice(below.length + 1)))
    }
  }

  /** Throws ArchiveError for archives that replace directories all the time. */
  add(entry: LayerEntry): void {
    if (entry.type !== "directory" && this.hasBelow(entry.path)) this.#removeBelow(entry.path)
    const row = this.#table.count
    this.#table.add(entry)
    for (let above = parentOf(entry.path); above !== "" && !this.hasBelow(above); above = parentOf(above))
      this.#parents.set(above, row)
  }

  find(path: LayerPath): LayerEntry | null {
    const row = this.#rowOf(path)
    return row === -1 ? null : this.#table.entry(row)
  }

  hasBelow(path: LayerPath): boolean {
    if (path === "") return this.#table.count > 0
    const row = this.#parents.get(path)
    return row !== undefined && !this.#isGone(path, row)
  }

  /** In the order of paths. */
  *entries(): Generator<LayerEntry> {
    const rows = new Uint32Array(this.#table.count).map((_, row) => row)
    rows.sort((one, other) => this.#table.compare(one, other))
    for (const row of rows) {
      const path = this.#table.path(row)
      const isLatest = this.#table.find(path) === row
      if (isLatest && !this.#isGone(path, row)) yield this.#table.entry(row)
    }
  }

  /** -1: there is none. */
  #rowOf(path: LayerPath): number {
    const row = this.#table.find(path)
    return row === -1 || this.#isGone(path, row) ? -1 : row
  }

  #removeBelow(path: LayerPath): void {
    if (this.#removals.length === MAX_REPLACED)
      throw new ArchiveError(`it replaces more than ${MAX_REPLACED} directories`)
    this.#parents.delete(path)
    this.#removals.push({ prefix: `${path}/`, rows: this.#table.count })
  }

  #isGone(path: LayerPath, row: number): boolean {
    return this.#removals.some(({ prefix, rows }) => row < rows && path.startsWith(prefix))
  }

  /** The beginning of a path up to where nothing is known to be below; no symlink stands on the way to it. */
  #firstUnknown(path: LayerPath): LayerPath {
    let below = path
    for (let above = parentOf(path); above !== "" && !this.hasBelow(above); above = parentOf(above)) below = above
    return below
  }
}
