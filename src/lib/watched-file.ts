import { readFile } from "node:fs/promises"
import type { Clock } from "./clock.ts"
import { identifyFile } from "./file-identity.ts"

export interface WatchedFileOptions<Value> {
  readonly path: string
  /** Throws when the text is not usable. */
  readonly parse: (text: string) => Value
  readonly clock: Clock
  readonly onReload: () => void
  /** Told once per unusable text. The old value stays. */
  readonly onFailure: (error: unknown) => void
}

const POLL_MS = 1000

interface Loaded<Value> {
  readonly identity: string
  readonly text: string
  readonly value: Value
}

/**
 * A file whose value follows the file: written in place, replaced, or swapped by Kubernetes' symlinks. An unusable
 * text never replaces a usable one. It looks at the file whenever it is asked, and every second.
 */
export class WatchedFile<Value> {
  readonly #options: WatchedFileOptions<Value>
  readonly #stop = new AbortController()
  #loaded: Loaded<Value>
  #refused: { readonly identity: string | null; readonly message: string } | null = null
  #reading: Promise<void> | null = null

  private constructor(options: WatchedFileOptions<Value>, loaded: Loaded<Value>) {
    this.#options = options
    this.#loaded = loaded
  }

  /** Rejects when the file cannot be used as it is now. */
  static async open<Value>(options: WatchedFileOptions<Value>): Promise<WatchedFile<Value>> {
    const identity = identityOf(options.path) ?? "missing"
    const text = await readFile(options.path, "utf8").catch((cause) => {
      throw new Error(`Cannot read ${options.path}`, { cause })
    })
    const file = new WatchedFile(options, { identity, text, value: options.parse(text) })
    void file.#poll()
    return file
  }

  /** The value of the file as it is now, or as it was when it was last usable. */
  async current(): Promise<Value> {
    const identity = identityOf(this.#options.path)
    const isKnown = identity === this.#loaded.identity || identity === this.#refused?.identity
    if (identity !== null && isKnown) return this.#loaded.value
    this.#reading ??= this.#read(identity).finally(() => {
      this.#reading = null
    })
    await this.#reading
    return this.#loaded.value
  }

  close(): void {
    this.#stop.abort()
  }

  async #poll(): Promise<void> {
    const { clock } = this.#options
    while (!this.#stop.signal.aborted) {
      await clock.sleep(POLL_MS, this.#stop.signal).catch(() => {})
      if (!this.#stop.signal.aborted) await this.current()
    }
  }

  async #read(identity: string | null): Promise<void> {
    const { path, parse, onReload } = this.#options
    try {
      const text = await readFile(path, "utf8")
      const isNews = text !== this.#loaded.text
      const value = isNews ? parse(text) : this.#loaded.value
      this.#loaded = { identity: identity ?? "missing", text, value }
      this.#refused = null
      if (isNews) onReload()
    } catch (error) {
      this.#refuse(identity, error)
    }
  }

  /** The same text is refused again and again, but told once. */
  #refuse(identity: string | null, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error)
    const isNews = message !== this.#refused?.message
    this.#refused = { identity, message }
    if (isNews) this.#options.onFailure(error)
  }
}

/** Null: there is no such file now, or it is so young that another write may look the same. */
function identityOf(path: string): string | null {
  const identity = identifyFile(path)
  return identity === null || identity.isYoung ? null : identity.text
}
