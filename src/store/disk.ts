import { lstatSync } from "node:fs"
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import type { FileBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { type Digest, digestAlgorithm, digestHex, digestOf } from "../oci/digest.ts"
import { MAX_MANIFEST_BYTES } from "../oci/manifest.ts"
import type { Logger } from "../telemetry/log.ts"
import { DiskFacts } from "./disk-facts.ts"
import { DiskPaths } from "./disk-path.ts"
import { DiskSpool } from "./disk-spool.ts"
import type { BlobStore, DocumentStore } from "./store.ts"

/** Content-addressed files in a directory. What a name says is what the file holds, also after a crash. */
export class DiskStore implements BlobStore, DocumentStore {
  readonly name = "disk"
  readonly origin: string
  readonly #paths: DiskPaths
  readonly #log: Logger

  private constructor(paths: DiskPaths, log: Logger) {
    this.origin = paths.root
    this.#paths = paths
    this.#log = log
  }

  /** Makes the directory if needed, and clears what an earlier process left half done. Rejects when it cannot be used. */
  static async create(root: string, log: Logger): Promise<DiskStore> {
    const paths = new DiskPaths(root)
    for (const dir of [paths.blobs, paths.tmp, paths.bad]) await mkdir(dir, { recursive: true, mode: 0o700 })
    for (const leftover of await readdir(paths.tmp)) await rm(join(paths.tmp, leftover), { force: true })
    return new DiskStore(paths, log)
  }

  async find(descriptor: Descriptor): Promise<FileBlob | null> {
    const path = this.#paths.blob(descriptor.digest)
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return null
    if (stat.isFile() && stat.size === descriptor.size) return { kind: "file", descriptor, path }
    await this.#quarantine(descriptor.digest, `its size is ${stat.size}, not ${descriptor.size}`)
    return null
  }

  async spool(): Promise<Spool> {
    return await DiskSpool.create(this.#paths)
  }

  /** What was found out about content, of one kind. */
  facts(kind: string): KeyValue {
    return new DiskFacts(this.#paths, kind, this.#log)
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    const path = this.#paths.blob(digest)
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined || !stat.isFile() || stat.size > MAX_MANIFEST_BYTES) return null
    const bytes = new Uint8Array(await readFile(path))
    if (digestOf(bytes, digestAlgorithm(digest)) === digest) return bytes
    await this.#quarantine(digest, "its content does not match")
    return null
  }

  async put({ descriptor, bytes }: JsonBlob): Promise<void> {
    if ((await this.find(descriptor)) !== null) return
    try {
      const spool = await this.spool()
      try {
        await spool.write(bytes)
        await spool.keep(descriptor)
      } finally {
        await spool.close()
      }
    } catch (error) {
      this.#log.warn("cannot keep document in the store", { digest: descriptor.digest, error })
    }
  }

  /** Wrong files are put aside for people to look at, and fetched again when somebody asks. */
  async #quarantine(digest: Digest, reason: string): Promise<void> {
    const aside = join(this.#paths.bad, `${digestHex(digest)}.${crypto.randomUUID()}`)
    this.#log.error("file in the store is not what its name says", { digest, reason, aside })
    await rename(this.#paths.blob(digest), aside)
  }
}
