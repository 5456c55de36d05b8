import type { ByteRange } from "../lib/range.ts"
import type { Download } from "./download.ts"

/** What one client costs in memory: a slow reader holds one chunk, the rest waits in the spool. */
const CHUNK_BYTES = 64 * 1024

/** A stream of `range` that follows a download at the pace of its consumer. Joins the download and leaves it at the end. */
export function readDownload(download: Download, range: ByteRange, left: () => void): ReadableStream<Uint8Array> {
  const abort = new AbortController()
  let position = range.start
  let joined = true
  download.join()
  const leave = async () => {
    if (!joined) return
    joined = false
    await download.leave()
    left()
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const chunk = await download.read(position, range.end, CHUNK_BYTES, abort.signal)
          position += chunk.byteLength
          controller.enqueue(chunk)
          if (position < range.end) return
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
