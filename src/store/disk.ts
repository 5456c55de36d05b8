import { lstat, mkdir, readdir, readFile, statfs, unlink, utimes, writeFile } from "node:fs/promises"
import type { FileBlob, ReadyBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import type { Clock } from "../lib/clock.ts"
import { loadTryLock } from "../lib/flock.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { type Digest, digestAlgorithm, digestOf } from "../oci/digest.ts"
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { CheckedStates, readBootId } from "./checked-states.ts"
import { diskTrouble, isMissing, statOrNull } from "./disk-error.ts"
import { DiskFacts } from "./disk-facts.ts"
import { DiskImageLog } from "./disk-images.ts"
import { DiskIndex, stateOf } from "./disk-index.ts"
import { DiskPaths } from "./disk-path.ts"
import { DiskSpool } from "./disk-spool.ts"
import { FileCheck } from "./file-check.ts"
import { chooseVictims, Quota, type StoreLimits } from "./quota.ts"
import { scrub } from "./scrub.ts"
import { type BlobStore, type BypassReason, type DocumentStore, type ImageLog, StoreBypass } from "./store.ts"
import { openWorkplace, sweepWorkplaces, type Workplace } from "./workplace.ts"

export interface DiskStoreOptions {
  readonly root: string
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

export interface StoreStats {
  readonly blobs: number
  readonly bytes: number
  /** Of images that were served within the last hour; these are not evicted. */
  readonly inUseBlobs: number
  readonly inUseBytes: number
  /** Files that were not what their name said. */
  readonly putAside: number
  /** Of the disk. */
  readonly freeBytes: number
}

const LAYOUT = "registry-facade store 1\n"
/** After trouble with the disk, nothing is written for this long. */
const REST_MS = 5000
/** How exact the time of last use is on disk. */
const TOUCH_MS = 60 * 60 * 1000
const TOLD_MS = 60_000
/** Reserved for content whose size is not known yet. */
const UNKNOWN_BYTES = 16 * 1024 * 1024

/**
 * Content-addressed files in a directory, shared by any number of processes. What a name says is what the file holds,
 * also after a crash. Trouble with the disk is never the client's: reading goes on, and content passes through unkept.
 */
export class DiskStore implements BlobStore, DocumentStore {
  readonly name = "disk"
  readonly origin: string
  readonly images: ImageLog
  readonly #options: DiskStoreOptions
  readonly #paths: DiskPaths
  readonly #index: DiskIndex
  readonly #check: FileCheck
  readonly #quota: Quota
  readonly #log: DiskImageLog
  readonly #states: CheckedStates
  #workplace: Promise<Workplace> | null = null
  readonly #putting = new Set<Promise<void>>()
  readonly #told = new Map<BypassReason, number>()
  #trouble: { readonly error: StoreBypass; readonly until: number } | null = null

  constructor(options: DiskStoreOptions) {
    const { clock, limits, log, metrics, root } = options
    this.#options = options
    this.#paths = new DiskPaths(root)
    this.#index = new DiskIndex(this.#paths)
    this.#check = new FileCheck({ paths: this.#paths, index: this.#index, clock, log, metrics })
    this.#quota = new Quota({ dir: root, limits, index: this.#index, evict: (bytes) => this.#evict(bytes) })
    this.#log = new DiskImageLog(this.#paths, log)
    this.images = this.#log
    const facts = this.facts("checked")
    this.#states = new CheckedStates({ paths: this.#paths, index: this.#index, facts, bootId: readBootId() })
    this.origin = this.#paths.root
  }

  findVerified(descriptor: Descriptor): FileBlob | null {
    const file = this.#check.findVerified(descriptor)
    if (file !== null) this.#touch(descriptor.digest, file.path)
    return file
  }

  async find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    await this.#states.load() // right after the start, nothing is known yet
    return await this.#check.find(descriptor, signal)
  }

  async spool(size: number | null): Promise<Spool> {
    try {
      const { dir } = await this.#ready()
      const reserved = size ?? UNKNOWN_BYTES
      const reservation = await this.#quota.reserve(reserved)
      const kept = async (file: FileBlob) => await this.#kept(file)
      const failed = (trouble: StoreBypass) => this.#note(trouble)
      const spool = DiskSpool.create({ paths: this.#paths, dir, reservation, reserved, kept, failed })
      return await spool.catch((error) => {
        reservation.release()
        throw error
      })
    } catch (error) {
      const trouble = diskTrouble(error)
      this.#note(trouble)
      throw trouble
    }
  }

  /** What was found out about content, of one kind. */
  facts(kind: string): KeyValue {
    return new DiskFacts(this.#paths, kind, this.#options.log)
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    const path = this.#paths.blob(digest)
    const stat = statOrNull(path)
    if (stat === null || !stat.isFile() || stat.size > MAX_MANIFEST_BYTES) return null
    const bytes = await readFile(path).catch(() => null)
    if (bytes === null) return null
    if (digestOf(bytes, digestAlgorithm(digest)) === digest) return new Uint8Array(bytes)
    await this.#check.check(digest)
    return null
  }

  async put(document: JsonBlob): Promise<void> {
    const putting = this.#put(document).finally(() => this.#putting.delete(putting))
    this.#putting.add(putting)
    await putting
  }

  async #put({ descriptor, bytes }: JsonBlob): Promise<void> {
    if (statOrNull(this.#paths.blob(descriptor.digest))?.size === descriptor.size) return
    try {
      const spool = await this.spool(bytes.byteLength)
      try {
        await spool.write(bytes)
        await spool.keep(descriptor)
      } finally {
        await spool.close()
      }
    } catch (error) {
      this.#options.log.debug("cannot keep document in the store", { digest: descriptor.digest, error })
    }
  }

  /** Clears what ended processes left behind, and learns what is there. The store serves meanwhile. Never rejects. */
  async maintain(): Promise<void> {
    try {
      await this.#ready()
      const tryLock = loadTryLock()
      const swept = tryLock === null ? 0 : await sweepWorkplaces(this.#paths.tmp, tryLock)
      if (swept > 0)
        this.#options.log.info("removed unfinished files of processes that have ended", { processes: swept })
      await this.#log.sweep()
      await this.#states.load()
      await this.#index.refresh()
      await this.#quota.enforce()
      await this.#states.save()
      this.#measure()
    } catch (error) {
      this.#note(diskTrouble(error))
    }
  }

  /** Looks at every file again within a week, slowly, until the signal is aborted. */
  async scrub(signal: AbortSignal): Promise<void> {
    await scrub(
      { index: this.#index, check: (digest) => this.#check.check(digest), clock: this.#options.clock },
      signal,
    )
  }

  /** The right file of a blob whose size is not known. Null: there is none. Rejects when it cannot be read. */
  async file(digest: Digest): Promise<FileBlob | null> {
    const path = this.#paths.blob(digest)
    if (!(await this.#check.check(digest))) return null
    const { size } = await lstat(path)
    return { kind: "file", descriptor: { mediaType: "application/octet-stream", digest, size }, path }
  }

  /** Looks at every file now; gives what was wrong or could not be read. Rejects when the directory cannot be read. */
  async verifyAll(): Promise<{ readonly checked: number; readonly wrong: readonly Digest[] }> {
    await this.#index.refresh()
    const wrong: Digest[] = []
    const digests = [...this.#index.entries()].map(({ digest }) => digest)
    for (const digest of digests) if (!(await this.#check.check(digest))) wrong.push(digest)
    return { checked: digests.length, wrong }
  }

  /** Rejects when the directory cannot be read. */
  async stats(): Promise<StoreStats> {
    await this.#index.refresh()
    const leased = await this.#log.leased()
    const inUse = [...this.#index.entries()].filter(({ digest }) => leased.has(digest))
    const { bavail, bsize } = await statfs(this.#paths.root)
    return {
      blobs: this.#index.count,
      bytes: this.#index.total,
      inUseBlobs: inUse.length,
      inUseBytes: inUse.reduce((sum, { size }) => sum + size, 0),
      putAside: (await readdir(this.#paths.bad)).length,
      freeBytes: bavail * bsize,
    }
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await Promise.all(this.#putting)
    await this.#states.save()
    const workplace = await this.#workplace?.catch(() => null)
    await workplace?.leave()
  }

  /** The directories, made when first needed, and again after trouble. */
  async #ready(): Promise<Workplace> {
    if (this.#trouble !== null && this.#trouble.until > this.#options.clock.now()) throw this.#trouble.error
    this.#workplace ??= this.#prepare()
    return await this.#workplace.catch((error) => {
      this.#workplace = null
      throw error
    })
  }

  async #prepare(): Promise<Workplace> {
    const { bad, blobs, images, layout, tmp } = this.#paths
    for (const dir of [tmp, bad, blobs, images]) await mkdir(dir, { recursive: true, mode: 0o700 })
    const found = await readFile(layout, "utf8").catch((error) => {
      if (isMissing(error)) return null
      throw error
    })
    if (found === null) await writeFile(layout, LAYOUT, { mode: 0o600 })
    else if (found !== LAYOUT)
      throw new StoreBypass(
        "readonly",
        `The store in ${this.origin} has the layout ${JSON.stringify(found.slice(0, 60))}, which this version does not know; it is left alone`,
      )
    return await openWorkplace(tmp, loadTryLock())
  }

  async #kept({ descriptor: { digest, size }, path }: FileBlob): Promise<void> {
    const stat = await lstat(path)
    const now = Date.now()
    this.#index.set({ digest, size, usedAt: now, touchedAt: now, checked: stateOf(stat), checkedAt: now })
    this.#measure()
  }

  async #evict(bytes: number): Promise<void> {
    const leased = await this.#log.leased()
    for (const digest of chooseVictims(this.#index, bytes, (candidate) => leased.has(candidate))) {
      await unlink(this.#paths.blob(digest)).catch((error) => {
        if (!isMissing(error)) throw error
      })
      this.#index.remove(digest)
      this.#options.metrics.storeEvictions.inc()
    }
    this.#measure()
  }

  /** The time of last use outlives the process, roughly. */
  #touch(digest: Digest, path: string): void {
    const entry = this.#index.get(digest)
    if (entry === null || entry.usedAt - entry.touchedAt < TOUCH_MS) return
    entry.touchedAt = entry.usedAt
    void writeTimeOfUse(path, entry.usedAt)
  }

  #measure(): void {
    this.#options.metrics.storeBytes.set(this.#index.total)
  }

  /** One count per content that could not be kept; a line per kind of trouble and minute. */
  #note(error: StoreBypass): void {
    const { clock, log, metrics } = this.#options
    const now = clock.now()
    metrics.storeBypass.inc({ reason: error.reason })
    if (now - (this.#told.get(error.reason) ?? Number.NEGATIVE_INFINITY) > TOLD_MS) {
      this.#told.set(error.reason, now)
      log.warn("content is served without being kept", { reason: error.reason, error })
    }
    if (error.reason !== "quota") this.#trouble = { error, until: now + REST_MS }
  }
}

/** Of access alone: the time of change is part of what tells that a file is as it was when it was checked. */
async function writeTimeOfUse(path: string, usedAt: number): Promise<void> {
  const stat = await lstat(path).catch(() => null)
  if (stat !== null) await utimes(path, usedAt / 1000, stat.mtimeMs / 1000).catch(() => {}) // it only makes eviction a little less fair
}
