import { constants } from "node:fs"
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import type { FileBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { DiskPaths } from "./disk-path.ts"

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** Content on its way into a disk store: a file that only becomes visible under its digest when it is complete. */
export class DiskSpool implements Spool {
  readonly #paths: DiskPaths
  readonly #path: string
  readonly #file: FileHandle
  #written = 0
  #kept = false
  #closed = false

  private constructor(paths: DiskPaths, path: string, file: FileHandle) {
    this.#paths = paths
    this.#path = path
    this.#file = file
  }

  static async create(paths: DiskPaths): Promise<DiskSpool> {
    const path = join(paths.tmp, crypto.randomUUID())
    return new DiskSpool(paths, path, await open(path, CREATE, 0o600))
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#file.write(bytes, done, bytes.byteLength - done, this.#written + done)
      done += bytesWritten // a disk that fills up writes a part before it fails
    }
    this.#written += bytes.byteLength
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const wanted = Math.min(length, this.#written - offset)
    const { buffer, bytesRead } = await this.#file.read(Buffer.allocUnsafeSlow(wanted), 0, wanted, offset)
    if (bytesRead === 0)
      throw new Error(`Cannot read the spool at ${offset}: the file is shorter than what was written`)
    return buffer.subarray(0, bytesRead)
  }

  async reset(): Promise<void> {
    await this.#file.truncate(0)
    this.#written = 0
  }

  /** fsync before rename, and the directory after it: a name never stands for bytes that a power cut may take back. */
  async keep(descriptor: Descriptor): Promise<FileBlob> {
    const path = this.#paths.blob(descriptor.digest)
    await this.#file.sync()
    await this.#file.chmod(0o400)
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await rename(this.#path, path)
    this.#kept = true
    await syncDirectory(dirname(path))
    return { kind: "file", descriptor, path }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#file.close()
    if (!this.#kept) await rm(this.#path, { force: true })
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY)
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
