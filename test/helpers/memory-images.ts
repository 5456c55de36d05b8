import type { BlobSource } from "../../src/blob/blob.ts"
import type { Descriptor, JsonBlob } from "../../src/oci/descriptor.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { formatReference } from "../../src/oci/reference.ts"
import type { ImageReader } from "../../src/upstream/upstream.ts"
import type { Content, TestImage, TestIndex } from "./images.ts"

export interface MemoryImages extends ImageReader {
  /** References that were asked for, in order. */
  readonly asked: string[]
  /** False: everything must be asked for again. */
  fresh: boolean
  /** The first document is the root. */
  add(reference: string, documents: readonly JsonBlob[]): void
  addImage(reference: string, image: TestImage | TestIndex): void
}

/** Images by their canonical reference, as if an upstream had them. */
export function memoryImages(): MemoryImages {
  const images = new Map<string, readonly JsonBlob[]>()
  const find = (reference: string, has: (document: JsonBlob) => boolean): JsonBlob => {
    const found = images.get(reference)?.find(has)
    if (found === undefined) throw new Error(`There is no such document of ${reference}`)
    return found
  }
  const reader: MemoryImages = {
    asked: [],
    fresh: true,
    add: (reference, documents) => void images.set(reference, documents),
    addImage: (reference, image) => reader.add(reference, documentsOf(image).map(jsonBlob)),
    root: async (reference) => {
      reader.asked.push(formatReference(reference))
      return find(formatReference(reference), () => true)
    },
    isFresh: () => reader.fresh,
    isStale: () => false,
    document: async (reference, { digest }: Descriptor) =>
      find(formatReference(reference), (document) => document.descriptor.digest === digest),
    blobs: (reference): readonly BlobSource[] => [
      { name: "upstream", origin: formatReference(reference), find: async () => null },
    ],
  }
  return reader
}

const documentsOf = (image: TestImage | TestIndex): readonly Content[] =>
  "manifest" in image ? [image.manifest, image.config] : [image.index, ...image.images.flatMap(documentsOf)]

const jsonBlob = ({ mediaType, digest, size, bytes }: Content): JsonBlob => ({
  descriptor: { mediaType, digest: parseDigest(digest), size },
  bytes,
})
