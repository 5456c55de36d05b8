import type { Spool } from "../blob/spool.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { BlobStore } from "../store/store.ts"
import { type PackFile, PackGone } from "./pack.ts"
import { StoredFile } from "./stored-file.ts"

/** A layer as it is sent, on the disk, while it is scanned: what frames refer to. */
export interface LayerCopy extends PackFile {
  /** Appends. Null: all of it is there. */
  readonly write: ((piece: Uint8Array) => Promise<void>) | null
  /** Keeps it under its digest, which the caller has verified. Rejects with StoreBypass when that cannot be. */
  keep(): Promise<void>
  close(): Promise<void>
}

/** Rejects with StoreBypass when there is no room for it. */
export async function newLayerCopy(store: BlobStore, descriptor: Descriptor): Promise<LayerCopy> {
  return new SpooledCopy(store, await store.spool(descriptor.size), descriptor)
}

/** As `newLayerCopy`, unless the layer is in the store. */
export async function copyLayer(store: BlobStore, descriptor: Descriptor, signal: AbortSignal): Promise<LayerCopy> {
  const found = await store.find(descriptor, signal)
  const file = found?.kind === "file" ? await StoredFile.open(found).catch(orNull) : null
  return file === null ? await newLayerCopy(store, descriptor) : storedCopy(file)
}

function orNull(error: unknown): null {
  if (!(error instanceof PackGone)) throw error
  return null
}

const storedCopy = (file: StoredFile): LayerCopy => ({
  write: null,
  read: async (offset, length) => await file.read(offset, length),
  keep: async () => {},
  close: async () => await file.close(),
})

class SpooledCopy implements LayerCopy {
  readonly #store: BlobStore
  readonly #spool: Spool
  readonly #descriptor: Descriptor
  #written = 0

  constructor(store: BlobStore, spool: Spool, descriptor: Descriptor) {
    this.#store = store
    this.#spool = spool
    this.#descriptor = descriptor
  }

  readonly write = async (piece: Uint8Array): Promise<void> => {
    await this.#spool.write(piece)
    this.#written += piece.byteLength
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    return await this.#spool.read(offset, length)
  }

  async keep(): Promise<void> {
    const { digest, size } = this.#descriptor
    if (this.#store.findVerified(this.#descriptor) !== null) return // a registry beside has kept it meanwhile
    if (this.#written !== size) throw new Error(`Layer ${digest} has ${this.#written} bytes in place of ${size}`)
    await this.#spool.keep(this.#descriptor)
  }

  async close(): Promise<void> {
    await this.#spool.close()
  }
}
