import type { ByteRange } from "../lib/range.ts"
import type { Download } from "./download.ts"
import type { Reader } from "./readers.ts"
import { SpoolGone } from "./spool.ts"

export interface ReadOptions {
  readonly download: Download
  readonly range: ByteRange
  /** True: bytes of small blobs, too, are given before the blob is verified. */
  readonly isEarly: boolean
  /** Called when a reader has left a download. */
  readonly left: (download: Download) => void
  /** A transfer of the same blob for one reader alone, who was too slow for the shared one. */
  readonly restart: () => Download
}

/** What one client costs in memory: a slow reader holds one chunk, beside what of it waits to be sent; the rest is in the spool. */
const CHUNK_BYTES = 64 * 1024
/** What all clients of one transfer hold; where they are many, each gets less at a time. */
const CHUNKS_BYTES = 32 * 1024 * 1024

const chunkBytes = ({ readers }: Download): number => Math.min(CHUNK_BYTES, Math.ceil(CHUNKS_BYTES / readers))

/** A stream of a range that follows a download at the pace of its consumer. */
export function readDownload(options: ReadOptions): ReadableStream<Uint8Array> {
  const { isEarly, range } = options
  const abort = new AbortController()
  let download = options.download
  let reader: Reader | null = download.join(range.start, isEarly)
  const leave = async () => {
    if (reader === null) return
    const left = reader
    reader = null
    await download.leave(left)
    options.left(download)
  }
  const next = async (): Promise<Uint8Array> => {
    if (reader === null) throw new Error("Cannot read after leaving")
    try {
      return await download.read(reader, range.end, chunkBytes(download), abort.signal)
    } catch (error) {
      if (!(error instanceof SpoolGone)) throw error
      const { position } = reader
      await leave()
      download = options.restart()
      reader = download.join(position, isEarly)
      return await download.read(reader, range.end, chunkBytes(download), abort.signal)
    }
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          controller.enqueue(await next())
          if (reader === null || reader.position < range.end) return
          controller.close()
        } catch (error) {
          controller.error(error)
        }
        await leave()
      },
      async cancel(reason) {
        abort.abort(reason)
        await leave()
      },
    },
    { highWaterMark: 0 },
  )
}

/** A blob that is small enough for it. */
export async function readWhole(
  download: Download,
  reader: Reader,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const { size } = download.descriptor
  const bytes = new Uint8Array(size)
  while (reader.position < size) {
    const offset = reader.position
    bytes.set(await download.read(reader, size, size - offset, signal), offset)
  }
  return bytes
}
