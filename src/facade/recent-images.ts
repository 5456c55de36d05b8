import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { parseReference, type Trust } from "../oci/reference.ts"
import type { DocumentStore, ImageLog, ImageRecord, RecordedBlob } from "../store/store.ts"
import type { ImageReader } from "../upstream/upstream.ts"
import type { BlobEntry } from "./blob-entry.ts"
import type { ServedImage } from "./composer.ts"
import { heldBytes } from "./held-bytes.ts"

export interface RecentImagesOptions {
  readonly clock: Clock
  /** A pull that began on an image may go on this long after the name has moved to another one. */
  readonly recentMs: number
  /** What earlier processes, and others on the same store, have served. */
  readonly log: ImageLog
  readonly documents: DocumentStore
  readonly readers: Readonly<Record<Trust, Pick<ImageReader, "blobs">>>
  /** What was served before the configuration has changed; null at the start. */
  readonly earlier?: RecentImages | null
}

/** How often it is noted on disk that an image is in use. */
const NOTE_MS = 5 * 60 * 1000
const MAX_PER_NAME = 20
/** Of all names; those that do not fit are found on disk again. */
const MEMORY_BYTES = 32 * 1024 * 1024

interface Served {
  readonly image: ServedImage
  usedAt: number
  /** When it was last asked whether the name is still there. */
  askedAt: number
  notedAt: number
}

/** The images that were served under each name in the last hour: what may be read under it. */
export class RecentImages {
  readonly #options: RecentImagesOptions
  readonly #names: LRUCache<string, readonly Served[]>

  constructor(options: RecentImagesOptions) {
    this.#options = options
    const { earlier = null } = options
    this.#names = earlier === null ? byBytes() : earlier.#names
  }

  remember(name: string, image: ServedImage): void {
    const now = this.#options.clock.now()
    const latest = this.#names.get(name)?.[0]
    if (latest?.image === image) {
      this.#use(name, latest, now)
      return
    }
    const others = this.#list(name).filter(
      (served) => served.image.root.descriptor.digest !== image.root.descriptor.digest,
    )
    const served = { image, usedAt: 0, askedAt: 0, notedAt: Number.NEGATIVE_INFINITY }
    this.#names.set(name, [served, ...others].slice(0, MAX_PER_NAME))
    this.#use(name, served, now)
  }

  /**
   * The latest image of the name that contains the digest. Null: none does. Counts as use while `isNamed` says that the
   * name is still there: otherwise whoever goes on pulling could read what was taken away from him for ever.
   */
  find(name: string, digest: Digest, isNamed: (name: string) => Promise<boolean>): ServedImage | null {
    const now = this.#options.clock.now()
    const served = this.#known(name).find(({ image, usedAt }) => this.#isRecent(usedAt, now) && contains(image, digest))
    if (served === undefined) return null
    if (now - served.askedAt >= NOTE_MS) {
      served.askedAt = now
      void this.#renew(name, served, isNamed)
    }
    return served.image
  }

  /** As `find`, among those that other processes have served. */
  async recall(name: string, digest: Digest): Promise<ServedImage | null> {
    for (const { image: record, ageMs } of await this.#options.log.recall(name)) {
      if (!isRecorded(record, digest)) continue
      const image = await this.#restore(record)
      if (image !== null) this.#append(name, image, this.#options.clock.now() - ageMs)
      if (image !== null) return image
    }
    return null
  }

  async #renew(name: string, served: Served, isNamed: (name: string) => Promise<boolean>): Promise<void> {
    if (await isNamed(name).catch(() => false)) this.#use(name, served, this.#options.clock.now())
  }

  #use(name: string, served: Served, now: number): void {
    served.usedAt = now
    served.askedAt = now
    if (now - served.notedAt < NOTE_MS) return
    served.notedAt = now
    void this.#options.log.record(toRecord(name, served.image))
  }

  /** Behind those that this process has composed, which are later. */
  #append(name: string, image: ServedImage, usedAt: number): void {
    const served = { image, usedAt, askedAt: usedAt, notedAt: usedAt }
    const list = this.#list(name)
    if (list.some((known) => known.image.root.descriptor.digest === image.root.descriptor.digest)) return
    this.#names.set(name, [...list.slice(0, MAX_PER_NAME - 1), served])
  }

  #list(name: string): readonly Served[] {
    const now = this.#options.clock.now()
    return this.#known(name).filter(({ usedAt }) => this.#isRecent(usedAt, now))
  }

  #isRecent(usedAt: number, now: number): boolean {
    return usedAt >= now - this.#options.recentMs
  }

  /** Those that are too old, too. */
  #known(name: string): readonly Served[] {
    return this.#names.get(name) ?? []
  }

  /** Null: a document of it is no longer in the store. */
  async #restore(record: ImageRecord): Promise<ServedImage | null> {
    const documents = new Map<Digest, JsonBlob>()
    for (const descriptor of record.documents) {
      const bytes = await this.#options.documents.get(descriptor.digest)
      if (bytes === null) return null
      documents.set(descriptor.digest, { descriptor, bytes })
    }
    const root = documents.get(record.root.digest)
    if (root === undefined) return null
    const single = record.single === null ? null : (documents.get(record.single) ?? null)
    const blobs = new Map(record.blobs.map((blob) => [blob.descriptor.digest, this.#entry(blob)]))
    return { root, single, documents, blobs }
  }

  #entry({ descriptor, from, trust }: RecordedBlob): BlobEntry {
    const reference = from === null ? null : parseReference(from)
    const isStored = reference !== null && reference.kind !== "scratch"
    const reader = this.#options.readers[trust]
    return { descriptor, from, trust, sources: isStored ? reader.blobs(reference) : [] }
  }
}

const byBytes = () =>
  new LRUCache<string, readonly Served[]>({
    maxSize: MEMORY_BYTES,
    sizeCalculation: (images) => images.reduce((sum, { image }) => sum + heldBytes(image), 1),
  })

export const contains = ({ documents, blobs }: ServedImage, digest: Digest): boolean =>
  documents.has(digest) || blobs.has(digest)

const isRecorded = ({ documents, blobs }: ImageRecord, digest: Digest): boolean =>
  documents.some((descriptor) => descriptor.digest === digest) ||
  blobs.some(({ descriptor }) => descriptor.digest === digest)

function toRecord(name: string, { root, single, documents, blobs }: ServedImage): ImageRecord {
  return {
    name,
    root: root.descriptor,
    single: single?.descriptor.digest ?? null,
    documents: [...documents.values()].map(({ descriptor }) => descriptor),
    blobs: [...blobs.values()].map(({ descriptor, from, trust }) => ({ descriptor, from, trust })),
  }
}
