import type { ConfigEdit, PlacedRequest } from "../layer/layer.ts"
import type { Platform } from "../oci/platform.ts"
import type { ImageReference, Trust } from "../oci/reference.ts"

/** What an image is to be made of, with every text in it parsed. */
export interface ImageSpec {
  readonly base: ImageReference
  /** As the spec writes it, for annotations and messages. */
  readonly baseText: string
  /** In their final order, without the static layers of the configuration. */
  readonly layers: readonly PlacedRequest[]
  /** Applied after what added images ask for. */
  readonly edit: ConfigEdit
  readonly annotations: Readonly<Record<string, string>>
  /** Null: every platform of the base that all layers support. */
  readonly platforms: readonly Platform[] | null
  /** Decides which hosts the spec may reach. */
  readonly trust: Trust
  /** Equal for equal specs: a cache key. */
  readonly key: string
}

/** Resolves the part of a repository name that follows the provider's prefix. */
export interface SpecProvider {
  /** First path segment, e.g. "fixed". */
  readonly prefix: string
  /** Null: this provider does not know the name. Rejects when it cannot tell. */
  resolve(name: string, signal: AbortSignal): Promise<ImageSpec | null>
}
