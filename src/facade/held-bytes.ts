import type { ServedImage } from "./composer.ts"

/** What an entry of a blob takes, with its sources and the headers that it is sent with: measured with images of many layers. */
const BLOB_BYTES = 2048

/** About what an image takes in memory, most of it manifests and configs. At least 1. */
export function heldBytes({ blobs, documents }: ServedImage): number {
  let sum = 1 + blobs.size * BLOB_BYTES
  for (const { bytes } of documents.values()) sum += bytes.byteLength
  return sum
}
