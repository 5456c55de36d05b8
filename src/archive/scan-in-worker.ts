import { ArchiveError } from "./archive-error.ts"
import { ScanFeed } from "./scan-feed.ts"
import type { ScanBatch, ScanOptions } from "./scan-layer.ts"
import type { FromScanner, ToScanner } from "./scan-messages.ts"

export interface ScanJob extends ScanOptions {
  /** The layer as it is sent. It is cancelled when the scan ends early. */
  readonly stream: ReadableStream<Uint8Array>
  /** Takes the layer, each piece before it is scanned. Null: nobody does. When it rejects, so does the scan. */
  readonly store: ((piece: Uint8Array) => Promise<void>) | null
  /** Ends the scan, which rejects with its reason. */
  readonly signal: AbortSignal
  /** Called in order, the next time when it has resolved. When it rejects, so does the scan, which never ends before it. */
  readonly take: (batch: ScanBatch) => Promise<void>
}

/** Stamped by build.ts: where the worker is in the compiled program. */
declare const SCAN_WORKER: string | undefined

const workerURL = (): string =>
  typeof SCAN_WORKER === "undefined" ? new URL("./scan-worker.ts", import.meta.url).href : SCAN_WORKER

/**
 * Scans a layer on a thread of its own, so that neither its size nor what is wrong with it holds up anything else. Gives
 * the bytes of the index. Rejects with ArchiveError for the archive's faults, and as the stream or `take` do.
 */
export async function scanInWorker(job: ScanJob): Promise<Uint8Array<ArrayBuffer>> {
  const worker = new Worker(workerURL(), { smol: true })
  const result = Promise.withResolvers<Uint8Array<ArrayBuffer>>()
  const post = (message: ToScanner, transfer: ArrayBuffer[] = []) => worker.postMessage(message, transfer)
  const feed = new ScanFeed({ post, store: job.store, failed: result.reject })
  let turn: Promise<void> = Promise.resolve()
  let isOver = false
  const inTurn = (work: () => Promise<void> | void) => {
    turn = turn
      .then(async () => {
        if (!isOver) await work()
      })
      .catch(result.reject)
  }
  worker.onmessage = ({ data }: MessageEvent<FromScanner>) => {
    if (data.kind === "used") feed.used(data.piece)
    else if (data.kind === "batch") inTurn(async () => await job.take(data.batch).then(() => post({ kind: "taken" })))
    else if (data.kind === "done") inTurn(() => result.resolve(data.index))
    else result.reject(new ArchiveError(data.message))
  }
  worker.onerror = ({ message }) => result.reject(new Error(`The scan of a layer has ended: ${message}`))
  const abort = () => result.reject(job.signal.reason)
  job.signal.addEventListener("abort", abort)
  if (job.signal.aborted) abort()
  const reader = job.stream.getReader()
  const feeding = pump(reader, feed).catch(result.reject)
  try {
    post({ kind: "begin", options: { limits: job.limits, isKept: job.isKept } })
    return await result.promise
  } finally {
    job.signal.removeEventListener("abort", abort)
    isOver = true
    worker.terminate()
    const fed = feed.close()
    await reader.cancel().catch(() => {}) // it has failed itself
    await Promise.all([feeding, fed, turn]) // what takes and stores may be closed as soon as this has ended
  }
}

interface Reader {
  read(): Promise<{ readonly value?: Uint8Array | undefined }>
}

async function pump(reader: Reader, feed: ScanFeed): Promise<void> {
  for (;;) {
    const { value } = await reader.read()
    if (value === undefined) return feed.end()
    if (!(await feed.add(value))) return
  }
}
