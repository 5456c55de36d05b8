import { openAt, type ReadyBlob } from "../blob/blob.ts"
import type { Facade } from "../facade/facade.ts"
import { readBytes } from "../lib/stream.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { isIndexType, isManifestType } from "../oci/media-type.ts"
import type { ImageReader, StoredReference } from "../upstream/upstream.ts"

export async function openComposed(
  facade: Facade,
  name: string,
  digest: Digest,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const blob = await facade.blob(name, digest, signal)
  const ready: ReadyBlob = blob.kind === "cold" ? await blob.obtain(signal, "arriving") : blob
  return await openAt(ready, 0, signal)
}

/** Reads the documents of an image that is composed here, as if an upstream had them. */
export function composedReader(facade: Facade, name: string): ImageReader {
  const root = async (_: StoredReference, signal: AbortSignal): Promise<JsonBlob> =>
    (await facade.image(name, signal)).root
  const document = async (_: StoredReference, descriptor: Descriptor, signal: AbortSignal): Promise<JsonBlob> => {
    const { digest, mediaType, size } = descriptor
    if (isManifestType(mediaType) || isIndexType(mediaType)) return await facade.document(name, digest, signal)
    return { descriptor, bytes: await readBytes(await openComposed(facade, name, digest, signal), size) }
  }
  return { root, document, isFresh: () => true, isStale: () => false, blobs: () => [] }
}
