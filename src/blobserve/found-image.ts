import type { Digest } from "../oci/digest.ts"
import type { Platform } from "../oci/platform.ts"
import type { Trust } from "../oci/reference.ts"
import type { StoredReference } from "../upstream/upstream.ts"
import type { Variant } from "../upstream/variants.ts"
import type { LayerSource } from "./layer-source.ts"

/** An image whose files can be asked for. */
export type FileImage =
  | {
      readonly kind: "stored"
      readonly reference: StoredReference
      readonly trust: Trust
      /** What requests call its repository: where a layout is on our disk is nobody's business. */
      readonly repository: string
    }
  /** One that is composed here. A null digest is what the name stands for now. */
  | { readonly kind: "composed"; readonly name: string; readonly digest: Digest | null }

/** An image of one platform, its layers the lowest first. */
export interface FoundImage {
  /** What the reference stands for: an index, where there is one. */
  readonly root: Digest
  /** `remote`: its layers are only what its own repository has given, whatever else is here by the same digests. */
  readonly trust: Trust
  readonly variant: Variant
  readonly layers: readonly LayerSource[]
}

export interface ImageFinder {
  /** Rejects with RegistryError when there is no such image, or none for the platform. */
  find(image: FileImage, platform: Platform, signal: AbortSignal): Promise<FoundImage>
}
