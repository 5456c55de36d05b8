import type { Stats } from "node:fs"
import { lstat, opendir } from "node:fs/promises"
import { join } from "node:path"
import { type Digest, digestAlgorithm } from "../oci/digest.ts"
import type { DiskPaths } from "./disk-path.ts"

export interface IndexEntry {
  readonly digest: Digest
  readonly size: number
  /** Milliseconds since the epoch. */
  usedAt: number
  /** When that was last written to the file itself. */
  touchedAt: number
  /** The state of the file when its content was last checked; null when that is not known. */
  checked: string | null
  /** Milliseconds since the epoch; 0 when it was never, as far as is known. */
  checkedAt: number
}

/** Tells one state of a file from another; times of reading do not count. */
export const stateOf = ({ ino, size, mtimeMs }: Stats): string => `${ino} ${size} ${mtimeMs}`

/**
 * What the directory holds, as far as this process knows. The directory is the truth: the index is filled while the
 * process serves already, and filled again now and then, because other processes use the same directory.
 */
export class DiskIndex {
  readonly #paths: DiskPaths
  readonly #entries = new Map<Digest, IndexEntry>()
  #total = 0

  constructor(paths: DiskPaths) {
    this.#paths = paths
  }

  /** Bytes of all blobs. */
  get total(): number {
    return this.#total
  }

  get count(): number {
    return this.#entries.size
  }

  get(digest: Digest): IndexEntry | null {
    return this.#entries.get(digest) ?? null
  }

  set(entry: IndexEntry): void {
    this.remove(entry.digest)
    this.#entries.set(entry.digest, entry)
    this.#total += entry.size
  }

  remove(digest: Digest): void {
    const entry = this.#entries.get(digest)
    if (entry === undefined) return
    this.#entries.delete(digest)
    this.#total -= entry.size
  }

  entries(): IterableIterator<IndexEntry> {
    return this.#entries.values()
  }

  /** Compares the index with the directory. Rejects when the directory cannot be read. */
  async refresh(): Promise<void> {
    const seen = new Set<Digest>()
    for await (const { digest, path } of this.#walk()) {
      const stat = await lstat(path).catch(() => null)
      if (stat === null || !stat.isFile()) continue
      seen.add(digest)
      const { atimeMs, mtimeMs, size } = stat
      if (this.#entries.get(digest)?.size === size) continue
      const usedAt = Math.max(atimeMs, mtimeMs)
      this.set({ digest, size, usedAt, touchedAt: usedAt, checked: null, checkedAt: 0 })
    }
    const startedWith = [...this.#entries.keys()]
    for (const digest of startedWith) if (!seen.has(digest)) await this.#removeIfGone(digest)
  }

  /** What was added while the walk went on was not seen by it. */
  async #removeIfGone(digest: Digest): Promise<void> {
    if ((await lstat(this.#paths.blob(digest)).catch(() => null)) === null) this.remove(digest)
  }

  async *#walk(): AsyncGenerator<{ readonly digest: Digest; readonly path: string }> {
    for await (const algorithm of await opendir(this.#paths.blobs)) {
      for await (const shard of await opendir(join(this.#paths.blobs, algorithm.name))) {
        const dir = join(this.#paths.blobs, algorithm.name, shard.name)
        for await (const file of await opendir(dir)) {
          const digest = this.#paths.digestOf(algorithm.name, file.name)
          if (digest !== null && digestAlgorithm(digest) === algorithm.name)
            yield { digest, path: join(dir, file.name) }
        }
      }
    }
  }
}
