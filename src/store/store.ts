import type { BlobSource, FileBlob, ReadyBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { Trust } from "../oci/reference.ts"

/** A source that also takes blobs in. Every method may be called concurrently, and by several processes at once. */
export interface BlobStore extends BlobSource {
  /** A file that is known to be right. Null: there is none, or it has to be looked at first. Never rejects. */
  findVerified(descriptor: Descriptor): FileBlob | null
  /** What a small file holds that is known to be right, until the next call. Null: as `findVerified`, or it is large. */
  readVerified(descriptor: Descriptor): Uint8Array<ArrayBuffer> | null
  /** A file that is right, once it has been looked at. Null: there is none, or it was wrong and is put aside. */
  find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null>
  /** Opens room for content of `size` bytes, null where that is not known. Rejects with StoreBypass when it has none. */
  spool(size: number | null): Promise<Spool>
}

/** Manifests, indexes and configs: small, read whole, verified on every read. */
export interface DocumentStore {
  get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null>
  /** Keeps the document if it can; a store that is full or broken is no reason to fail. */
  put(document: JsonBlob): Promise<void>
}

/** An image as it was served under a name. */
export interface ImageRecord {
  readonly name: string
  readonly root: Descriptor
  /** For clients that take no index. */
  readonly single: Digest | null
  /** The root, the manifests and the configs. */
  readonly documents: readonly Descriptor[]
  readonly blobs: readonly RecordedBlob[]
}

export interface RecordedBlob {
  readonly descriptor: Descriptor
  /** The image reference that its repository is known by. Null: it was made here, so only the store can have it. */
  readonly from: string | null
  /** Who wrote that reference. */
  readonly trust: Trust
}

/** Which images were served lately, also by earlier processes: what may be read, and what must not be evicted. */
export interface ImageLog {
  /** Notes that the image is in use now. Never rejects. */
  record(image: ImageRecord): Promise<void>
  /** The images served under a name lately, latest first. Never rejects. */
  recall(name: string): Promise<readonly RecalledImage[]>
}

export interface RecalledImage {
  readonly image: ImageRecord
  /** Since it was last noted to be in use. */
  readonly ageMs: number
}

/** Why content goes through without being kept. */
export type BypassReason = "enospc" | "readonly" | "io" | "quota"

/** The store cannot take this content now. Nothing is wrong with the content. */
export class StoreBypass extends Error {
  override readonly name = "StoreBypass"
  readonly reason: BypassReason

  constructor(reason: BypassReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}
