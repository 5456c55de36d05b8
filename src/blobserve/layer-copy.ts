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
}

/** Rejects with StoreBypass when there is no room for it. */
export async function copyLayer(store: BlobStore, descriptor: Descriptor, signal: AbortSignal): Promise<LayerCopy> {
  const found = await store.find(descriptor, signal)
  const file = found?.kind === "file" ? await StoredFile.open(found).catch(orNull) : null
  return file === null ? spooledCopy(await store.spool(descriptor.size), descriptor) : storedCopy(file)
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

const spooledCopy = (spool: Spool, descriptor: Descriptor): LayerCopy => ({
  write: async (piece) => await spool.write(piece),
  read: async (offset, length) => await spool.read(offset, length),
  keep: async () => void (await spool.keep(descriptor)),
  close: async () => await spool.close(),
})
