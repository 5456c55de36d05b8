import { readFileSync, type Stats } from "node:fs"
import { lstat } from "node:fs/promises"
import type { KeyValue } from "../lib/key-value.ts"
import { isDigest } from "../oci/digest.ts"
import { type DiskIndex, type IndexEntry, stateOf } from "./disk-index.ts"
import type { DiskPaths } from "./disk-path.ts"

export interface CheckedStatesOptions {
  readonly paths: DiskPaths
  readonly index: DiskIndex
  readonly facts: KeyValue
  /** Tells one run of the machine from another; null where it does not tell. */
  readonly bootId: string | null
}

interface Note {
  readonly digest: string
  readonly state: string
  /** In milliseconds; the one time that nobody can set. */
  readonly ctime: number
  readonly usedAt: number
  readonly checkedAt: number
}

interface Notes {
  readonly bootId: string
  readonly files: readonly Note[]
}

const KEY = "files"
const MAX_FILES = 20_000
/** Older checks are repeated anyway. */
const MAX_AGE_MS = 7 * 24 * 60 * 60 * 1000

/**
 * Remembers from one process to the next which files were checked, so that a restart does not read all of them again.
 * A file that looks changed, in any of its times too, counts as not checked; and so does every file after the machine
 * itself was restarted, because then nobody knows how it went down.
 */
export class CheckedStates {
  readonly #options: CheckedStatesOptions
  #loading: Promise<void> | null = null

  constructor(options: CheckedStatesOptions) {
    this.#options = options
  }

  /** Tells the index what the process before this one knew, once; resolves when that is done. Never rejects. */
  async load(): Promise<void> {
    this.#loading ??= this.#load()
    await this.#loading
  }

  async #load(): Promise<void> {
    const { bootId, facts, index, paths } = this.#options
    const text = bootId === null ? null : await facts.get(KEY)
    const notes: Notes | null = text === null ? null : JSON.parse(text) // it has a checksum
    if (notes?.bootId !== bootId) return
    for (const { digest, state, ctime, usedAt, checkedAt } of notes?.files ?? []) {
      if (!isDigest(digest) || index.get(digest) !== null || Date.now() - checkedAt > MAX_AGE_MS) continue
      const stat = await lstat(paths.blob(digest)).catch(() => null)
      if (stat === null || stateOf(stat) !== state || stat.ctimeMs !== ctime || index.get(digest) !== null) continue
      index.set({ digest, size: stat.size, usedAt, touchedAt: usedAt, checked: state, checkedAt })
    }
  }

  /** Writes down what this process knows, unless it never asked what was known before. Never rejects. */
  async save(): Promise<void> {
    const { bootId, facts, index } = this.#options
    if (this.#loading === null || bootId === null) return
    await this.#loading
    const latest = [...index.entries()]
      .filter(({ checked }) => checked !== null)
      .toSorted((one, other) => other.usedAt - one.usedAt)
      .slice(0, MAX_FILES)
    const files: Note[] = []
    for (const entry of latest) {
      const note = noteOf(entry, await lstat(this.#options.paths.blob(entry.digest)).catch(() => null))
      if (note !== null) files.push(note)
    }
    await facts.set(KEY, JSON.stringify({ bootId, files } satisfies Notes))
  }
}

/** Null: the file is gone, or is no longer what was checked. */
function noteOf({ digest, checked, usedAt, checkedAt }: IndexEntry, stat: Stats | null): Note | null {
  if (checked === null || stat === null || stateOf(stat) !== checked) return null
  return { digest, state: checked, ctime: stat.ctimeMs, usedAt, checkedAt }
}

/** proc(5): random for each run of the machine. */
export function readBootId(): string | null {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  } catch {
    return null
  }
}
