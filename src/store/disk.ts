import { lstat, readFile, statfs, unlink } from "node:fs/promises"
import { join } from "node:path"
import type { FileBlob, ReadyBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import type { Clock } from "../lib/clock.ts"
import { loadTryLock } from "../lib/flock.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { type Digest, digestAlgorithm, digestOf } from "../oci/digest.ts"
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts"
import { OCTET_STREAM } from "../oci/media-type.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { CheckedStates, readBootId } from "./checked-states.ts"
import { CurrentWorkplace } from "./current-workplace.ts"
import { diskTrouble, isMissing, statOrNull } from "./disk-error.ts"
import { DiskFacts } from "./disk-facts.ts"
import { DiskImageLog } from "./disk-images.ts"
import { DiskIndex, stateOf } from "./disk-index.ts"
import { DiskPaths } from "./disk-path.ts"
import { DiskSpool } from "./disk-spool.ts"
import { FactsSweep } from "./facts-sweep.ts"
import { FileCheck, type Verdict } from "./file-check.ts"
import { prepareStore, readLayout } from "./layout.ts"
import { PutAside } from "./put-aside.ts"
import { chooseVictims, Quota, type Reservation, type StoreLimits } from "./quota.ts"
import type { StoreStats, VerifyReport } from "./report.ts"
import { scrub } from "./scrub.ts"
import type { BlobStore, DocumentStore, ImageLog, StoreBypass } from "./store.ts"
import { sweepWorkplaces, type Workplace } from "./workplace.ts"

export interface DiskStoreOptions {
  readonly root: string
  readonly limits: StoreLimits
  /** What images that were served so lately consist of is not evicted. */
  readonly recentMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** After trouble with the disk, nothing is written for this long. */
const REST_MS = 5000
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
  readonly #aside: PutAside
  readonly #check: FileCheck
  readonly #quota: Quota
  readonly #log: DiskImageLog
  readonly #states: CheckedStates
  readonly #factsSweep: FactsSweep
  readonly #workplace = new CurrentWorkplace(() => prepareStore(this.#paths, loadTryLock()))
  #isOurs = false
  readonly #putting = new Set<Promise<void>>()
  #trouble: { readonly error: StoreBypass; readonly until: number } | null = null

  constructor(options: DiskStoreOptions) {
    const { clock, limits, log, metrics, recentMs, root } = options
    this.#options = options
    this.#paths = new DiskPaths(root)
    this.#index = new DiskIndex(this.#paths)
    this.#aside = new PutAside(this.#paths)
    this.#check = new FileCheck({ paths: this.#paths, index: this.#index, aside: this.#aside, clock, log, metrics })
    const used = () => this.#index.total + this.#aside.bytes
    this.#quota = new Quota({ dir: root, limits, used, evict: (bytes) => this.#evict(bytes) })
    this.#log = new DiskImageLog({ paths: this.#paths, recentMs, draft: () => this.#draft(), log })
    this.images = this.#log
    this.#factsSweep = new FactsSweep(this.#paths, clock)
    const facts = this.facts("checked")
    this.#states = new CheckedStates({ paths: this.#paths, index: this.#index, facts, bootId: readBootId() })
    this.origin = this.#paths.root
  }

  findVerified(descriptor: Descriptor): FileBlob | null {
    return this.#check.findVerified(descriptor)
  }

  readVerified(descriptor: Descriptor): Uint8Array<ArrayBuffer> | null {
    return this.#check.readVerified(descriptor)
  }

  async find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    if (!(await this.#mayRead())) return null
    await this.#states.load() // right after the start, nothing is known yet
    return await this.#check.find(descriptor, signal)
  }

  async spool(size: number | null): Promise<Spool> {
    try {
      const { dir } = await this.#ready()
      const reserved = size ?? UNKNOWN_BYTES
      const reservation = await this.#quota.reserve(reserved)
      const kept = async (file: FileBlob) => await this.#kept(file, reservation)
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
    return new DiskFacts({ paths: this.#paths, kind, draft: () => this.#draft(), log: this.#options.log })
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    const path = this.#paths.blob(digest)
    const stat = statOrNull(path)
    if (stat === null || !stat.isFile() || stat.size > MAX_MANIFEST_BYTES || !(await this.#mayRead())) return null
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
    await this.collect().catch((error) => this.#note(diskTrouble(error)))
  }

  /** As `maintain`, but rejects when the disk does not allow it. */
  async collect(): Promise<void> {
    await this.#ready()
    const tryLock = loadTryLock()
    const swept = tryLock === null ? 0 : await sweepWorkplaces(this.#paths.tmp, tryLock)
    if (swept > 0) this.#options.log.info("removed unfinished files of processes that have ended", { processes: swept })
    await this.#log.sweep()
    await this.#aside.sweep()
    await this.#states.load()
    await this.#index.refresh()
    await this.#quota.enforce()
    await this.#states.save()
    this.#measure()
    await this.#factsSweep.run()
  }

  /** Looks at every file again within a week, slowly, until the signal is aborted. */
  async scrub(signal: AbortSignal): Promise<void> {
    const check = async (digest: Digest) => await this.#check.check(digest)
    await scrub({ index: this.#index, check, clock: this.#options.clock }, signal)
  }

  /** The right file of a blob whose size is not known. Null: there is none. Rejects when it cannot be read. */
  async file(digest: Digest): Promise<FileBlob | null> {
    const path = this.#paths.blob(digest)
    if (!(await this.#mayRead()) || (await this.#check.check(digest)) !== "right") return null
    const { size } = await lstat(path)
    return { kind: "file", descriptor: { mediaType: OCTET_STREAM, digest, size }, path }
  }

  /** Looks at every file now. Rejects when there is no store that this version can read. */
  async verifyAll(): Promise<VerifyReport> {
    await this.#survey()
    const digests = [...this.#index.entries()].map(({ digest }) => digest)
    const found: Record<Verdict, Digest[]> = { right: [], wrong: [], unreadable: [], gone: [] }
    for (const digest of digests) found[await this.#check.check(digest)].push(digest)
    return { checked: digests.length - found.gone.length, wrong: found.wrong, unreadable: found.unreadable }
  }

  /** Rejects when there is no store that this version can read. */
  async stats(): Promise<StoreStats> {
    await this.#survey()
    const [leased, aside, facts] = [
      await this.#log.leased(),
      await this.#aside.totals(),
      await this.#factsSweep.totals(),
    ]
    const inUse = [...this.#index.entries()].filter(({ digest }) => leased.has(digest))
    const { bavail, bsize } = await statfs(this.#paths.root)
    return {
      blobs: this.#index.count,
      bytes: this.#index.total,
      inUseBlobs: inUse.length,
      inUseBytes: inUse.reduce((sum, { size }) => sum + size, 0),
      putAside: aside.files,
      putAsideBytes: aside.bytes,
      facts: facts.files,
      factBytes: facts.bytes,
      freeBytes: bavail * bsize,
    }
  }

  async #survey(): Promise<void> {
    if (!(await readLayout(this.#paths)))
      throw new Error(`There is no store in ${this.origin} yet, a process that serves from it makes it`)
    await this.#index.refresh()
  }

  /** Waits for what is being written. */
  async close(): Promise<void> {
    await Promise.all(this.#putting)
    await this.#states.save()
    await this.#workplace.leave()
  }

  async #ready(): Promise<Workplace> {
    if (this.#trouble !== null && this.#trouble.until > this.#options.clock.now()) throw this.#trouble.error
    return await this.#workplace.get()
  }

  /** Where a small file is written before it gets its name: what a crash leaves there is swept. */
  async #draft(): Promise<string> {
    return join((await this.#ready()).dir, crypto.randomUUID())
  }

  /** False: another version's, whose files may mean something else. */
  async #mayRead(): Promise<boolean> {
    this.#isOurs ||= await readLayout(this.#paths).catch(() => false)
    return this.#isOurs
  }

  /** From here on the index counts it, and not the reservation: counted twice, it would keep others out. */
  async #kept({ descriptor: { digest, size }, path }: FileBlob, reservation: Reservation): Promise<void> {
    const stat = statOrNull(path)
    if (stat === null) return // somebody has removed it already
    const now = Date.now()
    reservation.release()
    this.#index.set({ digest, size, usedAt: now, touchedAt: now, checked: stateOf(stat), checkedAt: now })
    this.#measure()
  }

  async #evict(bytes: number): Promise<void> {
    const freed = await this.#aside.free(bytes)
    if (freed >= bytes) return
    const leased = await this.#log.leased()
    for (const digest of chooseVictims(this.#index, bytes - freed, (candidate) => leased.has(candidate))) {
      await unlink(this.#paths.blob(digest)).catch((error) => {
        if (!isMissing(error)) throw error
      })
      this.#index.remove(digest)
      this.#options.metrics.storeEvictions.inc()
    }
    this.#measure()
  }

  #measure(): void {
    this.#options.metrics.storeBytes.set(this.#index.total)
  }

  /** One count per content that could not be kept; a line per kind of trouble and minute. */
  #note(error: StoreBypass): void {
    const { clock, log, metrics } = this.#options
    const { reason } = error
    metrics.storeBypass.inc({ reason })
    log.warn("content is served without being kept", { reason, error }, reason)
    // A limit of ours is no trouble, and who was turned away by a rest must not prolong it
    if (error.cause !== undefined && error !== this.#trouble?.error)
      this.#trouble = { error, until: clock.now() + REST_MS }
    if (isMissing(error.cause)) this.#makeAnew()
  }

  /** Somebody has removed directories of the store, which may hold another version's now. */
  #makeAnew(): void {
    this.#workplace.replace()
    this.#isOurs = false
  }
}
