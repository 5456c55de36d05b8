import type { LayerPath } from "./layer-path.ts"

export type EntryType = "file" | "directory" | "symlink" | "hardlink" | "special"

/** One entry of a layer. */
export interface LayerEntry {
  readonly path: LayerPath
  readonly type: EntryType
  /** Of a symlink its target as written; of a hardlink into a lower layer the path it stands for; else "". */
  readonly link: string
  readonly mode: number
  /** Seconds since the epoch. */
  readonly mtime: number
  /** Of a file. */
  readonly size: number
  /** Where the content begins in the archive, uncompressed. */
  readonly offset: number
  /** SHA-256 of the content, in hexadecimal; "" for anything but a file. */
  readonly sha256: string
}

export interface LayerChild {
  readonly name: string
  /** Null: a directory without an entry of its own. */
  readonly entry: LayerEntry | null
}

/** What is known of a layer's entries, while it is read or after. */
export interface LayerTree {
  /** The entry of exactly that path. Null: there is none, as far as is known. */
  find(path: LayerPath): LayerEntry | null
  /** True where entries stand below a path, even if it has none of its own. */
  hasBelow(path: LayerPath): boolean
  /** Everything, in the order of paths. */
  entries(): Iterable<LayerEntry>
  readonly isComplete: boolean
}
