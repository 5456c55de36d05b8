import { decompressed, detectEncoding, ENCODING_HEAD, type Encoding } from "../lib/decompress.ts"
import { readHead } from "../lib/stream-head.ts"
import { createHasher, type DiffID, type Digest, uncompressedDiffID } from "../oci/digest.ts"
import { TarCheck } from "./tar-check.ts"

/** What is known of a layer once all its bytes were seen. */
export interface LayerFacts {
  readonly digest: Digest
  readonly diffID: DiffID
  readonly size: number
  readonly encoding: Encoding
}

/**
 * Reads a layer once, in order: tells its compression by its first bytes, hashes it compressed and uncompressed, and
 * passes every byte on to `sink`. Rejects with TypeError for what is no tar archive, or is damaged.
 */
export async function inspectLayer(
  stream: ReadableStream<Uint8Array>,
  sink: (bytes: Uint8Array) => Promise<void>,
): Promise<LayerFacts> {
  const { head, rest } = await readHead(stream, ENCODING_HEAD)
  const encoding = detectEncoding(head)
  const hasher = createHasher()
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>()
  const diffID = hashTar(decompressed(readable, encoding))
  diffID.catch(() => {}) // awaited below, after the bytes
  const writer = writable.getWriter()
  let size = 0
  const pass = async (bytes: Uint8Array) => {
    size += bytes.byteLength
    hasher.update(bytes)
    await sink(bytes)
    await writer.write(new Uint8Array(bytes)) // a copy, because decoders keep what they are given
  }
  try {
    for await (const bytes of rest) await pass(bytes)
    await writer.close()
  } catch (error) {
    writer.abort(error).catch(() => {})
    await diffID // what the decoder or the check found says more than the broken pipe
    throw error
  }
  return { digest: hasher.digest(), diffID: await diffID, size, encoding }
}

async function hashTar(tar: ReadableStream<Uint8Array>): Promise<DiffID> {
  const hasher = createHasher()
  const check = new TarCheck()
  for await (const bytes of tar) {
    check.update(bytes)
    hasher.update(bytes)
  }
  check.end()
  return uncompressedDiffID(hasher.digest())
}
