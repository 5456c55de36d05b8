import type { BlobSource } from "../blob/blob.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { LayoutReference, RegistryReference } from "../oci/reference.ts"

/** An image that is stored somewhere; the empty image is not. */
export type StoredReference = RegistryReference | LayoutReference

/**
 * A place that images come from. Every method rejects with RegistryError when the place refuses, fails, or sends what
 * it should not.
 */
export interface Upstream {
  /** What a reference without digest names now, asked as cheaply as possible. */
  head(reference: StoredReference, signal: AbortSignal): Promise<TagAnswer>
  /** The manifest or index that a reference without digest names now. Null: there is none. */
  resolve(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob | null>
  /** A manifest or index by its digest, verified. Null: there is none. */
  manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob | null>
  /** Where the blobs of the repository are, best place first; no I/O until one is opened. */
  blobs(reference: StoredReference): readonly BlobSource[]
}

/** The digest; or that there is no such image; or that only `resolve` can tell. */
export type TagAnswer = Digest | "gone" | "unclear"

/** Images as their users want them: tags remembered for a while, documents cached, failures retried. */
export interface ImageReader {
  /** The manifest or index that the reference names. Rejects MANIFEST_UNKNOWN when there is none. */
  root(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob>
  /** False once `root` would ask the upstream again. */
  isFresh(reference: StoredReference): boolean
  /** True while the reference is served as it was, because its upstream fails. */
  isStale(reference: StoredReference): boolean
  /** A document below the root: a manifest, an index, or a config. */
  document(reference: StoredReference, descriptor: Descriptor, signal: AbortSignal): Promise<JsonBlob>
  blobs(reference: StoredReference): readonly BlobSource[]
}
