import { lstat, mkdir, readdir, readFile, rename, rm, rmdir, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { LRUCache } from "lru-cache"
import { type Digest, digestHex, isDigest } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import { checkedText, sha256, withChecksum } from "./checked-text.ts"
import type { DiskPaths } from "./disk-path.ts"
import type { ImageLog, ImageRecord, RecalledImage } from "./store.ts"

/** How exact the time of last use is on disk. */
const TOUCH_MS = 5 * 60 * 1000

/** How long it takes at most until a note of another process protects what it names. */
const LEASED_MS = 1000
const MEMORY_BYTES = 8 * 1024 * 1024
/** What a descriptor with its origin takes in memory, roughly. */
const ENTRY_BYTES = 600

export interface DiskImageLogOptions {
  readonly paths: DiskPaths
  readonly recentMs: number
  /** Gives a path for a file that is not complete yet, and rejects while nothing may be written. */
  readonly draft: () => Promise<string>
  readonly log: Logger
}

interface Noted {
  readonly digests: readonly Digest[]
  at: number
}

interface ReadNote {
  /** Of the file: another state, another note. */
  readonly state: string
  readonly image: ImageRecord
}

/** A note as its directory shows it. */
interface NoteFile {
  readonly path: string
  readonly state: string
  readonly at: number
}

/**
 * Notes on disk which images are in use, one small file per image and name, so that other processes on the same store,
 * and the next one after a restart, know it too. A note that was read once is read again only when its file is another.
 */
export class DiskImageLog implements ImageLog {
  readonly #options: DiskImageLogOptions
  readonly #noted = new Map<string, Noted>()
  readonly #read = new LRUCache<string, ReadNote>({ maxSize: MEMORY_BYTES, sizeCalculation: heldBytes })
  /** What the notes of all processes protect, by path and state. */
  #protected: ReadonlyMap<string, readonly Digest[]> = new Map()
  #leased: { readonly digests: ReadonlySet<Digest>; readonly at: number } | null = null

  constructor(options: DiskImageLogOptions) {
    this.#options = options
  }

  async record(image: ImageRecord): Promise<void> {
    const path = join(this.#dir(image.name), `${digestHex(image.root.digest)}.json`)
    const now = Date.now()
    const noted = this.#noted.get(path)
    if (noted !== undefined && now - noted.at < TOUCH_MS) return
    this.#noted.set(path, { digests: digestsOf(image), at: now })
    this.#leased = null
    try {
      if (noted === undefined) await this.#write(path, image)
      else await utimes(path, now / 1000, now / 1000)
    } catch (error) {
      this.#noted.delete(path)
      this.#options.log.warn("cannot note in the store that an image is in use", { name: image.name, error })
    }
  }

  async recall(name: string): Promise<readonly RecalledImage[]> {
    const files = await this.#notesIn(this.#dir(name))
    const recalled: RecalledImage[] = []
    for (const file of files.toSorted((one, other) => other.at - one.at)) {
      const image = await this.#image(file)
      if (image !== null) recalled.push({ image, ageMs: Math.max(0, Date.now() - file.at) })
    }
    return recalled
  }

  /** Every digest that an image in use needs: what must not be evicted. What others have noted is known a moment later. */
  async leased(): Promise<ReadonlySet<Digest>> {
    const now = Date.now()
    if (this.#leased !== null && Math.abs(now - this.#leased.at) < LEASED_MS) return this.#leased.digests
    const oldest = now - this.#options.recentMs - TOUCH_MS
    for (const [path, { at }] of this.#noted) if (at < oldest) this.#noted.delete(path)
    const found = new Map<string, readonly Digest[]>()
    for (const dir of await readdir(this.#options.paths.images).catch(() => [])) {
      for (const file of await this.#notesIn(join(this.#options.paths.images, dir))) {
        const key = `${file.path} ${file.state}`
        found.set(key, this.#protected.get(key) ?? digestsOf(await readNote(file.path)))
      }
    }
    this.#protected = found
    const own = [...this.#noted.values()].map(({ digests }) => digests)
    const digests = new Set([...own, ...found.values()].flat())
    this.#leased = { digests, at: now }
    return digests
  }

  /** Removes notes that have expired, and names that have none left. Rejects when the directory cannot be read. */
  async sweep(): Promise<void> {
    const { paths, recentMs } = this.#options
    const oldest = Date.now() - recentMs - TOUCH_MS
    for (const dir of await readdir(paths.images)) {
      for (const file of await readdir(join(paths.images, dir))) {
        const path = join(paths.images, dir, file)
        const stat = await lstat(path).catch(() => null)
        if (stat !== null && stat.mtimeMs < oldest) await rm(path, { force: true })
      }
      await rmdir(join(paths.images, dir)).catch(() => {}) // there are notes in it
    }
  }

  #dir(name: string): string {
    return join(this.#options.paths.images, sha256(name).slice(0, 32))
  }

  async #write(path: string, image: ImageRecord): Promise<void> {
    const draft = await this.#options.draft()
    const text = JSON.stringify(image)
    await writeFile(draft, withChecksum(text), { mode: 0o600, flag: "wx" })
    const place = async () => {
      await mkdir(this.#dir(image.name), { recursive: true, mode: 0o700 })
      await rename(draft, path)
    }
    await place().catch(place) // a sweep has removed the directory in between
  }

  /** Those that have not expired. */
  async #notesIn(dir: string): Promise<readonly NoteFile[]> {
    const files = await readdir(dir).catch(() => [])
    const oldest = Date.now() - this.#options.recentMs
    const found: NoteFile[] = []
    for (const file of files.filter((name) => name.endsWith(".json"))) {
      const path = join(dir, file)
      const stat = await lstat(path).catch(() => null)
      if (stat !== null && stat.mtimeMs >= oldest)
        found.push({ path, state: `${stat.ino} ${stat.size}`, at: stat.mtimeMs })
    }
    return found
  }

  /** Null: torn by a crash, or gone. */
  async #image({ path, state }: NoteFile): Promise<ImageRecord | null> {
    const known = this.#read.get(path)
    if (known?.state === state) return known.image
    const image = await readNote(path)
    if (image !== null) this.#read.set(path, { state, image })
    return image
  }
}

const digestsOf = (image: ImageRecord | null): readonly Digest[] =>
  image === null
    ? []
    : [...image.documents, ...image.blobs.map(({ descriptor }) => descriptor)].map(({ digest }) => digest)

const heldBytes = ({ image }: ReadNote): number => ENTRY_BYTES * (1 + image.documents.length + image.blobs.length)

const readNote = async (path: string): Promise<ImageRecord | null> =>
  parseRecord(await readFile(path, "utf8").catch(() => ""))

const isTrust = (value: unknown): boolean => value === "operator" || value === "remote"

/** Null: torn by a crash, or from a version that writes something else. */
function parseRecord(content: string): ImageRecord | null {
  const text = checkedText(content)
  if (text === null) return null
  const record: ImageRecord = JSON.parse(text) // the checksum tells that it is what was written
  const digests = [record.root, ...record.documents, ...record.blobs.map(({ descriptor }) => descriptor)]
  const isOurs = digests.every(({ digest }) => isDigest(digest)) && record.blobs.every(({ trust }) => isTrust(trust))
  return isOurs ? record : null
}
