import { closeSync, fstatSync, openSync, type Stats } from "node:fs"
import { type FileHandle, open, rename } from "node:fs/promises"
import { join } from "node:path"
import type { FileBlob, ReadyBlob, StreamBlob } from "../blob/blob.ts"
import { IntegrityError } from "../blob/integrity-error.ts"
import type { Clock } from "../lib/clock.ts"
import { fillFrom, REGULAR_FILE } from "../lib/file-part.ts"
import { abortable } from "../lib/single-flight.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { createHasher, type Digest, digestAlgorithm, digestHex } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { isMissing, statOrNull } from "./disk-error.ts"
import { type DiskIndex, type IndexEntry, stateOf } from "./disk-index.ts"
import type { DiskPaths } from "./disk-path.ts"
import type { PutAside } from "./put-aside.ts"
import { noteUse } from "./time-of-use.ts"

export interface FileCheckOptions {
  readonly paths: DiskPaths
  readonly index: DiskIndex
  readonly aside: PutAside
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** What looking at a file has shown. Wrong ones are put aside; those that the disk does not give are left alone. */
export type Verdict = "right" | "wrong" | "unreadable" | "gone"

const READ_BYTES = 1024 * 1024
const SEND_BYTES = 64 * 1024
/** Checked completely before anything of it is sent; larger files only if that takes no longer than the patience. */
const SMALL_BYTES = 8 * 1024 * 1024
const PATIENCE_MS = 3000
/** For these, handing them to another thread takes longer than to read them. */
const READ_AT_ONCE_BYTES = 64 * 1024

/**
 * Trust in files. A file is hashed when it is first read, and again when it looks changed or the machine was restarted;
 * wrong ones are put aside. While a large file is being hashed its bytes are sent already, but never the last one.
 */
export class FileCheck {
  readonly #options: FileCheckOptions
  readonly #checks = new Map<Digest, Promise<Verdict>>()
  readonly #scratch = new Uint8Array(READ_AT_ONCE_BYTES)

  constructor(options: FileCheckOptions) {
    this.#options = options
  }

  /** Null: there is no such file, or it has to be checked first. Counts as use. */
  findVerified(descriptor: Descriptor): FileBlob | null {
    const entry = this.#options.index.get(descriptor.digest)
    if (entry === null || entry.checked === null || entry.size !== descriptor.size) return null
    const path = this.#options.paths.blob(descriptor.digest)
    const stat = statOrNull(path)
    if (stat === null || !isAsChecked(stat, entry)) return null
    noteUse(entry, this.#options.paths)
    return { kind: "file", descriptor, path }
  }

  /**
   * As `findVerified`, with what a small file holds, in memory that the next call uses again. The file is opened before it
   * is looked at, so that it is the same one.
   */
  readVerified({ digest, size }: Descriptor): Uint8Array<ArrayBuffer> | null {
    const entry = this.#options.index.get(digest)
    if (entry === null || entry.checked === null || entry.size !== size || size > READ_AT_ONCE_BYTES) return null
    const bytes = readAsChecked(this.#options.paths.blob(digest), entry, this.#scratch.subarray(0, size))
    if (bytes !== null) noteUse(entry, this.#options.paths)
    return bytes
  }

  /** Null: there is no such file, or it was wrong. */
  async find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    const verified = this.findVerified(descriptor)
    if (verified !== null) return verified
    const path = this.#options.paths.blob(descriptor.digest)
    const stat = statOrNull(path)
    if (stat === null) return null
    if (!stat.isFile()) await this.#putAside(descriptor.digest, "it is no file")
    else if (stat.size !== descriptor.size && this.#options.index.get(descriptor.digest)?.checked !== stateOf(stat))
      await this.check(descriptor.digest) // the file is wrong, or what somebody says of its size is
    if (!stat.isFile() || stat.size !== descriptor.size) return null
    const check = this.check(descriptor.digest)
    const verdict = descriptor.size <= SMALL_BYTES ? await abortable(check, signal) : await this.#soon(check, signal)
    if (verdict === null) return gatedFile(descriptor, path, check)
    return verdict === "right" ? this.findVerified(descriptor) : null
  }

  /** Hashes a file now, once for all who ask. Counts as no use. Never rejects. */
  check(digest: Digest): Promise<Verdict> {
    const running = this.#checks.get(digest)
    if (running !== undefined) return running
    const check = this.#hash(digest).finally(() => this.#checks.delete(digest))
    this.#checks.set(digest, check)
    return check
  }

  /** Null: it takes longer. */
  async #soon(check: Promise<Verdict>, signal: AbortSignal): Promise<Verdict | null> {
    const timer = new AbortController()
    const patience = this.#options.clock.sleep(PATIENCE_MS, timer.signal).then(
      () => null,
      () => null,
    )
    return await abortable(Promise.race([check, patience]), signal).finally(() => timer.abort())
  }

  async #hash(digest: Digest): Promise<Verdict> {
    const path = this.#options.paths.blob(digest)
    try {
      const file = await open(path, REGULAR_FILE)
      try {
        const stat = await file.stat()
        if ((await hashFile(file, digest)) === digest) {
          if (statOrNull(path) === null) return "gone" // evicted meanwhile
          const usedAt = stat.atimeMs
          const known = this.#options.index.get(digest) ?? { usedAt, touchedAt: usedAt }
          this.#options.index.set({
            ...known,
            digest,
            size: stat.size,
            checked: stateOf(stat),
            checkedAt: Date.now(),
          })
          return "right"
        }
      } finally {
        await file.close()
      }
      await this.#putAside(digest, "its content has another digest")
      return "wrong"
    } catch (error) {
      if (isMissing(error)) return "gone"
      this.#options.log.warn("cannot read a file of the store", { digest, error })
      return "unreadable"
    }
  }

  /** For people to look at; the next request fetches the blob again. */
  async #putAside(digest: Digest, reason: string): Promise<void> {
    const { aside: room, index, log, metrics, paths } = this.#options
    const aside = join(paths.bad, `${digestHex(digest)}.${crypto.randomUUID()}`)
    metrics.integrityFailures.inc({ source: "disk" })
    log.error("a file of the store is not what its name says", { digest, reason, aside })
    index.remove(digest)
    try {
      await rename(paths.blob(digest), aside)
      room.add(statOrNull(aside)?.size ?? 0)
    } catch (error) {
      if (!isMissing(error)) log.error("cannot put a wrong file aside", { digest, error })
    }
  }
}

const isAsChecked = (stat: Stats, { checked }: IndexEntry): boolean => stateOf(stat) === checked

/** Fills `into`, if the file is as it was when it was checked, and holds so much. Null: it is not, or cannot be read. */
function readAsChecked(path: string, entry: IndexEntry, into: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | null {
  try {
    const file = openSync(path, REGULAR_FILE)
    try {
      return isAsChecked(fstatSync(file), entry) && fillFrom(file, into, 0) ? into : null
    } finally {
      closeSync(file)
    }
  } catch {
    return null
  }
}

async function hashFile(file: FileHandle, digest: Digest): Promise<Digest> {
  const hasher = createHasher(digestAlgorithm(digest))
  const buffer = new Uint8Array(READ_BYTES)
  for (let offset = 0; ; ) {
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, offset)
    if (bytesRead === 0) return hasher.digest()
    hasher.update(buffer.subarray(0, bytesRead))
    offset += bytesRead
  }
}

/** Sends a file while it is being checked: the last byte of every range waits for the result. */
function gatedFile(descriptor: Descriptor, path: string, check: Promise<Verdict>): StreamBlob {
  const open_: StreamBlob["open"] = async ({ start, end }, signal) => {
    const file = await open(path, REGULAR_FILE)
    let position = start
    const next = async () => {
      if (position === end - 1 && (await abortable(check, signal)) !== "right") {
        throw new IntegrityError(`Cannot serve blob ${descriptor.digest}: the file in the store was wrong, try again`)
      }
      const length = Math.min(SEND_BYTES, position === end - 1 ? 1 : end - 1 - position)
      const { bytesRead, buffer } = await file.read(new Uint8Array(length), 0, length, position)
      if (bytesRead === 0) throw new Error(`The file of ${descriptor.digest} is shorter than it was`)
      position += bytesRead
      return buffer.subarray(0, bytesRead)
    }
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          try {
            controller.enqueue(await next())
            if (position < end) return
            controller.close()
          } catch (error) {
            controller.error(error)
          }
          await file.close()
        },
        cancel: async () => await file.close(),
      },
      { highWaterMark: 0 },
    )
  }
  return { kind: "stream", descriptor, open: open_ }
}
