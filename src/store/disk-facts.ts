import { mkdir, readFile, rename, writeFile } from "node:fs/promises"
import { dirname } from "node:path"
import type { KeyValue } from "../lib/key-value.ts"
import type { Logger } from "../telemetry/log.ts"
import type { DiskPaths } from "./disk-path.ts"

const sha256 = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("hex")

/** Facts of one kind as small files, each with a checksum: a file that a crash has torn counts as not known. */
export class DiskFacts implements KeyValue {
  readonly #paths: DiskPaths
  readonly #kind: string
  readonly #log: Logger

  constructor(paths: DiskPaths, kind: string, log: Logger) {
    this.#paths = paths
    this.#kind = kind
    this.#log = log
  }

  async get(key: string): Promise<string | null> {
    const text = await readFile(this.#path(key), "utf8").catch(() => "")
    const [checksum, value] = [text.slice(0, 64), text.slice(65)]
    return checksum === sha256(`${key}\n${value}`) ? value : null
  }

  async set(key: string, value: string): Promise<void> {
    const path = this.#path(key)
    const draft = `${path}.${crypto.randomUUID()}`
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      await writeFile(draft, `${sha256(`${key}\n${value}`)} ${value}`, { mode: 0o600, flag: "wx" })
      await rename(draft, path)
    } catch (error) {
      this.#log.warn("cannot remember a fact in the store", { kind: this.#kind, key, error })
    }
  }

  #path(key: string): string {
    return this.#paths.fact(this.#kind, sha256(key))
  }
}
