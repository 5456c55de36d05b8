import { constants } from "node:fs"
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { FileBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import { soleBytes } from "../lib/sole-bytes.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { diskTrouble } from "./disk-error.ts"
import type { DiskPaths } from "./disk-path.ts"
import type { Reservation } from "./quota.ts"
import type { StoreBypass } from "./store.ts"

export interface DiskSpoolOptions {
  readonly paths: DiskPaths
  /** Where unfinished files of this process are. */
  readonly dir: string
  readonly reservation: Reservation
  /** Bytes that are reserved already. */
  readonly reserved: number
  readonly kept: (file: FileBlob) => Promise<void>
  readonly failed: (trouble: StoreBypass) => void
}

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const GROWTH_BYTES = 16 * 1024 * 1024

/**
 * Content on its way into a disk store: a file that only becomes visible under its digest when it is complete. Writing
 * and keeping reject with StoreBypass when the disk is in trouble; what was written can still be read then.
 */
export class DiskSpool implements Spool {
  readonly isWindow = false
  readonly #options: DiskSpoolOptions
  readonly #path: string
  readonly #file: FileHandle
  #reserved: number
  #written = 0
  #isKept = false
  #isClosed = false

  private constructor(options: DiskSpoolOptions, path: string, file: FileHandle) {
    this.#options = options
    this.#path = path
    this.#file = file
    this.#reserved = options.reserved
  }

  static async create(options: DiskSpoolOptions): Promise<DiskSpool> {
    const path = join(options.dir, crypto.randomUUID())
    return new DiskSpool(options, path, await open(path, CREATE, 0o600))
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#guarded(async () => {
      await this.#reserve(bytes.byteLength)
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.byteLength - done, this.#written + done)
        done += bytesWritten // a disk that fills up writes a part before it fails
      }
      this.#written += bytes.byteLength
      this.#options.reservation.wrote(bytes.byteLength)
    })
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const wanted = Math.min(length, this.#written - offset)
    const { buffer, bytesRead } = await this.#file.read(new Uint8Array(wanted), 0, wanted, offset)
    if (bytesRead === 0)
      throw new Error(`Cannot read the spool at ${offset}: the file is shorter than what was written`)
    return soleBytes(buffer.subarray(0, bytesRead))
  }

  advance(): void {} // a file holds everything

  async reset(): Promise<void> {
    await this.#guarded(async () => await this.#file.truncate(0))
    this.#written = 0
  }

  /** fsync before rename, and the directory after it: a name never stands for bytes that a power cut may take back. */
  async keep(descriptor: Descriptor): Promise<FileBlob> {
    const path = this.#options.paths.blob(descriptor.digest)
    return await this.#guarded(async () => {
      await this.#file.chmod(0o400)
      await this.#file.utimes(...timesOfUse())
      await this.#file.sync()
      const made = await mkdir(dirname(path), { recursive: true, mode: 0o700 })
      if (made !== undefined) await syncDirectory(dirname(made))
      await rename(this.#path, path)
      this.#isKept = true
      await syncDirectory(dirname(path))
      const file = { kind: "file", descriptor, path } as const
      await this.#options.kept(file)
      return file
    })
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#options.reservation.release()
    await this.#file.close()
    if (!this.#isKept) await rm(this.#path, { force: true })
  }

  async #reserve(bytes: number): Promise<void> {
    const missing = this.#written + bytes - this.#reserved
    if (missing <= 0) return
    const growth = Math.max(missing, Math.min(this.#reserved, GROWTH_BYTES)) // as much again: a few steps, and small ones for what is small
    await this.#options.reservation.grow(growth)
    this.#reserved += growth
  }

  async #guarded<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      const trouble = diskTrouble(error)
      this.#options.failed(trouble)
      throw trouble
    }
  }
}

/** Times of access and change in whole seconds: those can be set again later without loss. */
function timesOfUse(): readonly [number, number] {
  const seconds = Math.floor(Date.now() / 1000)
  return [seconds, seconds]
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
