import { ArchiveError } from "./archive-error.ts"
import type { ScanBatch, ScanLimits } from "./scan-layer.ts"
import type { FromScanner, ToScanner } from "./scan-messages.ts"

export interface ScanJob {
  /** The layer as it is sent. It is cancelled when the scan ends early. */
  readonly stream: ReadableStream<Uint8Array>
  readonly limits: ScanLimits
  /** Ends the scan, which rejects with its reason. */
  readonly signal: AbortSignal
  /** Called in order, the next time when it has resolved. When it rejects, so does the scan. */
  readonly take: (batch: ScanBatch) => Promise<void>
}

/** Stamped by build.ts: where the worker is in the compiled program. */
declare const SCAN_WORKER: string | undefined

const workerURL = (): string =>
  typeof SCAN_WORKER === "undefined" ? new URL("./scan-worker.ts", import.meta.url).href : SCAN_WORKER

/** Bytes that wait in the worker; what it unpacks of them at once is bounded by it. */
const AHEAD_BYTES = 1024 * 1024
const PIECE_BYTES = 64 * 1024

/**
 * Scans a layer on a thread of its own, so that neither its size nor what is wrong with it holds up anything else. Gives
 * the bytes of the index. Rejects with ArchiveError for the archive's faults, and as the stream or `take` do.
 */
export async function scanInWorker(job: ScanJob): Promise<Uint8Array<ArrayBuffer>> {
  const worker = new Worker(workerURL(), { smol: true })
  const result = Promise.withResolvers<Uint8Array<ArrayBuffer>>()
  const credit = new Credit(AHEAD_BYTES)
  const post = (message: ToScanner, transfer: ArrayBuffer[] = []) => worker.postMessage(message, transfer)
  let turn: Promise<unknown> = Promise.resolve()
  const inTurn = (work: () => unknown) => {
    turn = turn.then(work)
    turn.catch(result.reject)
  }
  worker.onmessage = ({ data }: MessageEvent<FromScanner>) => {
    if (data.kind === "used") credit.give(data.bytes)
    else if (data.kind === "batch") inTurn(async () => await job.take(data.batch).then(() => post({ kind: "taken" })))
    else if (data.kind === "done") inTurn(() => result.resolve(data.index))
    else result.reject(new ArchiveError(data.message))
  }
  worker.onerror = ({ message }) => result.reject(new Error(`The scan of a layer has ended: ${message}`))
  const abort = () => result.reject(job.signal.reason)
  job.signal.addEventListener("abort", abort)
  if (job.signal.aborted) abort()
  const reader = job.stream.getReader()
  const feeding = feed(reader, credit, post).catch(result.reject)
  try {
    post({ kind: "begin", limits: job.limits })
    return await result.promise
  } finally {
    job.signal.removeEventListener("abort", abort)
    credit.close()
    await reader.cancel().catch(() => {}) // it has failed itself
    await feeding
    worker.terminate()
  }
}

interface Reader {
  read(): Promise<{ readonly value?: Uint8Array | undefined }>
}
type Post = (message: ToScanner, transfer?: ArrayBuffer[]) => void

async function feed(reader: Reader, credit: Credit, post: Post): Promise<void> {
  for (;;) {
    const { value } = await reader.read()
    if (value === undefined) return post({ kind: "end" })
    for (let offset = 0; offset < value.byteLength; offset += PIECE_BYTES) {
      const bytes = value.slice(offset, offset + PIECE_BYTES)
      if (!(await credit.take(bytes.byteLength))) return
      post({ kind: "bytes", bytes }, [bytes.buffer])
    }
  }
}

/** How much may be sent before some of it is used up. */
class Credit {
  #left: number
  #isClosed = false
  #changed = Promise.withResolvers<void>()

  constructor(bytes: number) {
    this.#left = bytes
  }

  give(bytes: number): void {
    this.#left += bytes
    this.#wake()
  }

  /** False: nothing is wanted any more. */
  async take(bytes: number): Promise<boolean> {
    while (this.#left < bytes && !this.#isClosed) await this.#changed.promise
    this.#left -= bytes
    return !this.#isClosed
  }

  close(): void {
    this.#isClosed = true
    this.#wake()
  }

  #wake(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }
}
