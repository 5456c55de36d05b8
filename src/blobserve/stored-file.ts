import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import type { FileBlob } from "../blob/blob.ts"
import { type PackFile, PackGone } from "./pack.ts"

/** A file of the store, which stays readable when it is evicted meanwhile. */
export class StoredFile implements PackFile {
  readonly #file: FileHandle

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /** Rejects with PackGone when it is not there any more. */
  static async open({ descriptor, path }: FileBlob): Promise<StoredFile> {
    const file = open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
    return new StoredFile(
      await file.catch((cause) => {
        throw new PackGone(`The content with the digest ${descriptor.digest} is no longer in the store`, { cause })
      }),
    )
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { buffer, bytesRead } = await this.#file.read(new Uint8Array(length), 0, length, offset)
    if (bytesRead === 0) throw new Error("A file of the store is shorter than an index says")
    return buffer.subarray(0, bytesRead)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}
