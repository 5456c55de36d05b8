import { lstat, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Digest, digestHex, isDigest } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { DiskPaths } from "./disk-path.ts"
import type { ImageLog, ImageRecord } from "./store.ts"

/** A pull that began on an image may go on this long after the name has moved to another one. */
export const RECENT_MS = 60 * 60 * 1000
/** How exact the time of last use is on disk. */
const TOUCH_MS = 5 * 60 * 1000

const sha256 = (text: string): string => new Bun.CryptoHasher("sha256").update(text).digest("hex")

interface Noted {
  readonly image: ImageRecord
  readonly path: string
  at: number
}

/**
 * Notes on disk which images are in use, one small file per image and name, so that other processes on the same store,
 * and the next one after a restart, know it too.
 */
export class DiskImageLog implements ImageLog {
  readonly #paths: DiskPaths
  readonly #draft: () => Promise<string>
  readonly #log: Logger
  readonly #noted = new Map<string, Noted>()

  /** `draft` gives a path for a file that is not complete yet, and rejects while nothing may be written. */
  constructor(paths: DiskPaths, draft: () => Promise<string>, log: Logger) {
    this.#paths = paths
    this.#draft = draft
    this.#log = log
  }

  async record(image: ImageRecord): Promise<void> {
    const path = join(this.#dir(image.name), `${digestHex(image.root.digest)}.json`)
    const now = Date.now()
    const noted = this.#noted.get(path)
    if (noted !== undefined && now - noted.at < TOUCH_MS) return
    this.#noted.set(path, { image, path, at: now })
    try {
      if (noted === undefined) await this.#write(path, image)
      else await utimes(path, now / 1000, now / 1000)
    } catch (error) {
      this.#noted.delete(path)
      this.#log.warn("cannot note in the store that an image is in use", { name: image.name, error })
    }
  }

  async recall(name: string): Promise<readonly ImageRecord[]> {
    const records = await this.#readDirectory(this.#dir(name))
    return records.toSorted((one, other) => other.at - one.at).map(({ image }) => image)
  }

  /** Every digest that an image in use needs: what must not be evicted. */
  async leased(): Promise<ReadonlySet<Digest>> {
    const oldest = Date.now() - RECENT_MS - TOUCH_MS
    for (const [path, { at }] of this.#noted) if (at < oldest) this.#noted.delete(path)
    const dirs = await readdir(this.#paths.images).catch(() => [])
    const records = [...this.#noted.values()]
    for (const dir of dirs) records.push(...(await this.#readDirectory(join(this.#paths.images, dir))))
    return new Set(
      records
        .flatMap(({ image }) => [...image.documents, ...image.blobs.map(({ descriptor }) => descriptor)])
        .map(({ digest }) => digest),
    )
  }

  /** Removes notes that have expired. Rejects when the directory cannot be read. */
  async sweep(): Promise<void> {
    const oldest = Date.now() - RECENT_MS - TOUCH_MS
    for (const dir of await readdir(this.#paths.images)) {
      for (const file of await readdir(join(this.#paths.images, dir))) {
        const path = join(this.#paths.images, dir, file)
        const stat = await lstat(path).catch(() => null)
        if (stat !== null && stat.mtimeMs < oldest) await rm(path, { force: true })
      }
    }
  }

  #dir(name: string): string {
    return join(this.#paths.images, sha256(name).slice(0, 32))
  }

  async #write(path: string, image: ImageRecord): Promise<void> {
    const draft = await this.#draft()
    const text = JSON.stringify(image)
    await mkdir(this.#dir(image.name), { recursive: true, mode: 0o700 })
    await writeFile(draft, `${sha256(text)} ${text}`, { mode: 0o600, flag: "wx" })
    await rename(draft, path)
  }

  async #readDirectory(dir: string): Promise<readonly Noted[]> {
    const files = await readdir(dir).catch(() => [])
    const oldest = Date.now() - RECENT_MS
    const found: Noted[] = []
    for (const file of files.filter((name) => name.endsWith(".json"))) {
      const path = join(dir, file)
      const stat = await lstat(path).catch(() => null)
      const image =
        stat === null || stat.mtimeMs < oldest ? null : parseRecord(await readFile(path, "utf8").catch(() => ""))
      if (stat !== null && image !== null) found.push({ image, path, at: stat.mtimeMs })
    }
    return found
  }
}

const isTrust = (value: unknown): boolean => value === "operator" || value === "remote"

/** Null: torn by a crash, or from a version that writes something else. */
function parseRecord(content: string): ImageRecord | null {
  const [checksum, text] = [content.slice(0, 64), content.slice(65)]
  if (checksum !== sha256(text)) return null
  const record: ImageRecord = JSON.parse(text) // the checksum tells that it is what was written
  const digests = [record.root, ...record.documents, ...record.blobs.map(({ descriptor }) => descriptor)]
  const isOurs = digests.every(({ digest }) => isDigest(digest)) && record.blobs.every(({ trust }) => isTrust(trust))
  return isOurs ? record : null
}
