import { LRUCache } from "lru-cache"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"

export interface ResolvedTag {
  readonly root: JsonBlob
  /** Milliseconds since the epoch, because it outlives the process. */
  readonly resolvedAt: number
  /** When that was written down. */
  readonly notedAt: number
  /** On the clock: when the upstream was asked last. */
  readonly askedAt: number
  /** True: it could not tell, and what it had said before is used. */
  readonly isStale: boolean
}

const MEMORY_BYTES = 32 * 1024 * 1024
/** What a tag takes besides its manifest. */
const TAG_BYTES = 512

/** What was read of images, for the readers of one configuration after the other. */
export class ImageMemory {
  readonly tags = new LRUCache<string, ResolvedTag>({
    maxSize: MEMORY_BYTES,
    sizeCalculation: ({ root }) => root.bytes.byteLength + TAG_BYTES,
  })
  readonly documents = new LRUCache<Digest, JsonBlob>({
    maxSize: MEMORY_BYTES,
    sizeCalculation: ({ bytes }) => bytes.byteLength + 1,
  })
}
