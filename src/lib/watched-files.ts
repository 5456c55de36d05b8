import { readFile } from "node:fs/promises"
import type { Clock } from "./clock.ts"
import { identifyFile } from "./file-identity.ts"

export interface WatchedFilesOptions<Value> {
  readonly paths: readonly string[]
  /** Gets the texts in the order of the paths. Throws when they are not usable together. */
  readonly parse: (texts: readonly string[]) => Value
  readonly clock: Clock
  readonly onReload: (value: Value) => void
  /** Told once per unusable state of the files. The old value stays. */
  readonly onFailure: (error: unknown) => void
  /** So many looks in a row must fail before that is told: nobody can replace several files at once. */
  readonly looksBeforeFailure: number
}

const POLL_MS = 1000

interface Loaded<Value> {
  readonly identity: string
  readonly texts: readonly string[]
  readonly value: Value
}

interface Refused {
  readonly identity: string | null
  readonly message: string
  readonly looks: number
}

/**
 * Files that make one value, which follows them: written in place, replaced, or swapped by Kubernetes' symlinks.
 * Unusable texts never replace usable ones. It looks at the files whenever it is asked, and every second.
 */
export class WatchedFiles<Value> {
  readonly #options: WatchedFilesOptions<Value>
  readonly #stop = new AbortController()
  #loaded: Loaded<Value>
  #refused: Refused | null = null
  #reading: Promise<void> | null = null

  private constructor(options: WatchedFilesOptions<Value>, loaded: Loaded<Value>) {
    this.#options = options
    this.#loaded = loaded
  }

  /** Rejects when the files cannot be used as they are now. */
  static async open<Value>(options: WatchedFilesOptions<Value>): Promise<WatchedFiles<Value>> {
    const identity = identityOf(options.paths) ?? "missing"
    const texts: string[] = []
    for (const path of options.paths) texts.push(await readText(path)) // so that the first one that is missing is told
    const files = new WatchedFiles(options, { identity, texts, value: options.parse(texts) })
    void files.#poll()
    return files
  }

  /** The value of the files as they were when they were last usable; nothing is looked at. */
  get latest(): Value {
    return this.#loaded.value
  }

  /** The value of the files as they are now, or as they were when they were last usable. */
  async current(): Promise<Value> {
    const identity = identityOf(this.#options.paths)
    if (identity !== null && this.#isKnown(identity)) return this.#loaded.value
    this.#reading ??= this.#read(identity).finally(() => {
      this.#reading = null
    })
    await this.#reading
    return this.#loaded.value
  }

  close(): void {
    this.#stop.abort()
  }

  #isKnown(identity: string): boolean {
    if (identity === this.#loaded.identity) return true
    return this.#refused?.identity === identity && this.#refused.looks >= this.#options.looksBeforeFailure
  }

  async #poll(): Promise<void> {
    const { clock } = this.#options
    while (!this.#stop.signal.aborted) {
      await clock.sleep(POLL_MS, this.#stop.signal).catch(() => {})
      if (!this.#stop.signal.aborted) await this.current()
    }
  }

  async #read(identity: string | null): Promise<void> {
    const { paths, parse, onReload } = this.#options
    try {
      const texts = await Promise.all(paths.map(async (path) => await readFile(path, "utf8")))
      const isNews = texts.some((text, index) => text !== this.#loaded.texts[index])
      const value = isNews ? parse(texts) : this.#loaded.value
      this.#loaded = { identity: identity ?? "missing", texts, value }
      this.#refused = null
      if (isNews) onReload(value)
    } catch (error) {
      this.#refuse(identity, error)
    }
  }

  /** The same state is refused again and again, but told once. */
  #refuse(identity: string | null, error: unknown): void {
    const { looksBeforeFailure, onFailure } = this.#options
    const message = error instanceof Error ? error.message : String(error)
    const looks = message === this.#refused?.message ? this.#refused.looks + 1 : 1
    this.#refused = { identity, message, looks }
    if (looks === looksBeforeFailure) onFailure(error)
  }
}

async function readText(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    throw new Error(`Cannot read ${path}`, { cause })
  })
}

/** Null: one of the files is not there now, or so young that another write may look the same. */
function identityOf(paths: readonly string[]): string | null {
  const identities = paths.map(identifyFile)
  if (identities.some((identity) => identity === null || identity.isYoung)) return null
  return identities.map((identity) => identity?.text).join("\n")
}
