import { statfs } from "node:fs/promises"
import type { Digest } from "../oci/digest.ts"
import type { DiskIndex } from "./disk-index.ts"
import { type BypassReason, StoreBypass } from "./store.ts"

export interface StoreLimits {
  /** Bytes of all blobs; 0 is no limit. */
  readonly maxSizeBytes: number
  /** Bytes that stay free on the disk. */
  readonly minFreeBytes: number
}

export interface QuotaOptions {
  /** A directory on the disk. */
  readonly dir: string
  readonly limits: StoreLimits
  /** Bytes of all that is kept. */
  readonly used: () => number
  /** Removes blobs until at least `bytes` are freed; none at all where that cannot be reached. */
  readonly evict: (bytes: number) => Promise<void>
}

/** Room that was promised to one spool. */
export interface Reservation {
  /** Rejects with StoreBypass when there is no more room. */
  grow(bytes: number): Promise<void>
  /** Tells that so many of the bytes are on the disk now, where its free space shows them. */
  wrote(bytes: number): void
  release(): void
}

interface Missing {
  readonly bytes: number
  /** Whose limit it is: the disk's, or the one configured for the store. */
  readonly reason: BypassReason
}

/** Promises room before anything is written, so that many transfers together cannot overfill the disk. */
export class Quota {
  readonly #options: QuotaOptions
  #reserved = 0
  #unwritten = 0
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: QuotaOptions) {
    this.#options = options
  }

  /** Rejects with StoreBypass when there is no room, even after evicting what may go. */
  async reserve(bytes: number): Promise<Reservation> {
    let held = 0
    let unwritten = 0
    const wrote = (count: number) => {
      const counted = Math.min(count, unwritten)
      unwritten -= counted
      this.#unwritten -= counted
    }
    const grow = async (more: number) => {
      await this.#inTurn(() => this.#take(more))
      held += more
      unwritten += more
    }
    const release = () => {
      wrote(unwritten)
      this.#reserved -= held
      held = 0
    }
    await grow(bytes)
    return { grow, wrote, release }
  }

  /** Evicts down to the limits, for those who lower them. */
  async enforce(): Promise<void> {
    await this.#inTurn(async () => {
      const over = await this.#missing(0)
      if (over.bytes > 0) await this.#options.evict(over.bytes)
    })
  }

  /** One at a time, so that two do not count the same free bytes. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#turn.then(work)
    this.#turn = result.catch(() => {})
    await result
  }

  async #take(bytes: number): Promise<void> {
    const missing = await this.#missing(bytes)
    if (missing.bytes > 0) {
      await this.#options.evict(missing.bytes)
      const still = await this.#missing(bytes)
      if (still.bytes > 0)
        throw new StoreBypass(still.reason, `The disk store has no room for ${bytes} bytes: ${still.bytes} are missing`)
    }
    this.#reserved += bytes
    this.#unwritten += bytes
  }

  /** Bytes that would have to go for `bytes` to fit. */
  async #missing(bytes: number): Promise<Missing> {
    const { dir, limits, used } = this.#options
    const { bavail, bsize } = await statfs(dir)
    const overFree = limits.minFreeBytes + this.#unwritten + bytes - bavail * bsize
    const overMax = limits.maxSizeBytes === 0 ? 0 : used() + this.#reserved + bytes - limits.maxSizeBytes
    return { bytes: Math.max(overFree, overMax, 0), reason: overFree >= overMax ? "enospc" : "quota" }
  }
}

/**
 * The least recently used blobs that together have at least `bytes`, and a little more so that not every blob has to
 * make room for itself; never one that is protected. Empty where `bytes` cannot be reached.
 */
export function chooseVictims(
  index: DiskIndex,
  bytes: number,
  isProtected: (digest: Digest) => boolean,
): readonly Digest[] {
  const candidates = [...index.entries()]
    .filter(({ digest }) => !isProtected(digest))
    .sort((one, other) => one.usedAt - other.usedAt)
  const wanted = bytes + index.total * SURPLUS
  const victims: Digest[] = []
  let freed = 0
  for (const { digest, size } of candidates) {
    if (freed >= wanted) break
    victims.push(digest)
    freed += size
  }
  return freed >= bytes ? victims : []
}

const SURPLUS = 0.02
