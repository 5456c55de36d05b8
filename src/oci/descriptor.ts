import type { Digest } from "./digest.ts"
import type { Platform } from "./platform.ts"

/** What a piece of content is, known before its bytes are read (image-spec: descriptor.md). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly platform?: Platform
  readonly annotations?: Readonly<Record<string, string>>
}

/** A document (manifest, index, config) that was hashed once and is never serialised again. */
export interface JsonBlob {
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array<ArrayBuffer>
}
