import type { BytesBlob, LocatedBlob } from "../blob/blob.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"

/** What a name stands for now. */
export interface NamedImage {
  /** An index where the base is one, else a manifest. */
  readonly root: JsonBlob
  /** For clients that take no index: the manifest for the default platform. Null where the index has none for it. */
  readonly single: JsonBlob | null
  /** Images that it was made of as they were, because their upstream fails; usually none. */
  readonly stale: readonly string[]
}

/** The images that this registry serves. Rejects with RegistryError; what is unknown and what is not allowed look the same. */
export interface Facade {
  knows(name: string, signal: AbortSignal): Promise<boolean>
  /** Rejects NAME_UNKNOWN. */
  image(name: string, signal: AbortSignal): Promise<NamedImage>
  /** A manifest or index of the name's current image, or of a recent one. Rejects MANIFEST_UNKNOWN. */
  document(name: string, digest: Digest, signal: AbortSignal): Promise<JsonBlob>
  /** A small blob that is here, read at once; its bytes hold until the next call. Null: ask `blob`, which tells more. */
  smallBlob(name: string, digest: Digest): BytesBlob | null
  /** A blob that such an image contains. Rejects BLOB_UNKNOWN. */
  blob(name: string, digest: Digest, signal: AbortSignal): Promise<LocatedBlob>
}
