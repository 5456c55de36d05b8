import { lstat, mkdir, readFile, rename, utimes, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import type { KeyValue } from "../lib/key-value.ts"
import type { Logger } from "../telemetry/log.ts"
import { checkedText, sha256, withChecksum } from "./checked-text.ts"
import type { DiskPaths } from "./disk-path.ts"

/** How exact the time of last use is on disk. */
const TOUCH_MS = 24 * 60 * 60 * 1000

export interface DiskFactsOptions {
  readonly paths: DiskPaths
  readonly kind: string
  /** A path for a file that is not complete yet, on the same disk. Rejects while nothing may be written. */
  readonly draft: () => Promise<string>
  readonly log: Logger
}

/** Facts of one kind as small files, each with a checksum: a file that a crash has torn counts as not known. */
export class DiskFacts implements KeyValue {
  readonly #options: DiskFactsOptions

  constructor(options: DiskFactsOptions) {
    this.#options = options
  }

  async get(key: string): Promise<string | null> {
    const path = this.#path(key)
    const value = checkedText(await readFile(path, "utf8").catch(() => ""), `${key}\n`)
    if (value !== null) void touch(path)
    return value
  }

  async set(key: string, value: string): Promise<void> {
    const path = this.#path(key)
    try {
      const draft = await this.#options.draft()
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await writeFile(draft, withChecksum(value, `${key}\n`), { mode: 0o600, flag: "wx" })
      await rename(draft, path)
    } catch (error) {
      this.#options.log.warn("cannot remember a fact in the store", { kind: this.#options.kind, key, error })
    }
  }

  #path(key: string): string {
    return this.#options.paths.fact(this.#options.kind, sha256(key))
  }
}

async function touch(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => null)
  const now = Date.now()
  if (stat !== null && now - stat.mtimeMs > TOUCH_MS) await utimes(path, now / 1000, now / 1000).catch(() => {}) // found out again
}
