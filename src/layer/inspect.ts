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

/** Larger than any layer that can be unpacked. */
const MAX_BYTES = 1024 ** 4
/** What archives of real files never are, in relation to their compressed bytes; little ones may be. */
const MAX_RATIO = 200
const RATIO_FROM = 64 * 1024 * 1024
/** What is unpacked before others get their turn. */
const TURN = 4 * 1024 * 1024

/**
 * Reads a layer once, in order: tells its compression by its first bytes, hashes it compressed and uncompressed, and
 * passes every byte on to `sink`. Rejects with TypeError for what is no tar archive, is damaged, or gets too large.
 */
export async function inspectLayer(
  stream: ReadableStream<Uint8Array>,
  sink: (bytes: Uint8Array) => Promise<void>,
  signal: AbortSignal,
): Promise<LayerFacts> {
  const { head, rest } = await readHead(stream, ENCODING_HEAD)
  const encoding = detectEncoding(head)
  const hasher = createHasher()
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>()
  let size = 0
  const check = (unpacked: number) => {
    signal.throwIfAborted()
    checkSize(unpacked, size)
  }
  const diffID = hashTar(decompressed(readable, encoding), check)
  diffID.catch(() => {}) // awaited below, after the bytes
  const writer = writable.getWriter()
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

/** `check` is told how much was unpacked, and throws where it is enough. */
async function hashTar(tar: ReadableStream<Uint8Array>, check: (unpacked: number) => void): Promise<DiffID> {
  const hasher = createHasher()
  const archive = new TarCheck()
  let unpacked = 0
  let turn = 0
  for await (const bytes of tar) {
    unpacked += bytes.byteLength
    check(unpacked)
    archive.update(bytes)
    hasher.update(bytes)
    if (unpacked - turn < TURN) continue
    turn = unpacked
    await new Promise(setImmediate) // what is unpacked already comes without a pause
  }
  archive.end()
  return uncompressedDiffID(hasher.digest())
}

function checkSize(unpacked: number, packed: number): void {
  if (unpacked > MAX_BYTES) throw new TypeError(`it has more than ${MAX_BYTES} bytes when it is unpacked`)
  if (unpacked > RATIO_FROM && unpacked > packed * MAX_RATIO)
    throw new TypeError(`it is more than ${MAX_RATIO} times as large when it is unpacked`)
}
