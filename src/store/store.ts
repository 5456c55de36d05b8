import type { BlobSource, FileBlob } from "../blob/blob.ts"
import type { Spool } from "../blob/spool.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"

/** A source that also takes blobs in. Every method may be called concurrently, and by several processes at once. */
export interface BlobStore extends BlobSource {
  /** Null also for content whose size is not the descriptor's. */
  find(descriptor: Descriptor): Promise<FileBlob | null>
  /** Opens room for new content; `size` null where it is not known yet. */
  spool(size: number | null): Promise<Spool>
}

/** Manifests, indexes and configs: small, read whole, verified on every read. */
export interface DocumentStore {
  get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null>
  /** Keeps the document if it can; a store that is full or broken is no reason to fail. */
  put(document: JsonBlob): Promise<void>
}
