import type { Clock } from "../lib/clock.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Attempts } from "./attempts.ts"
import { type BlobSource, openAt, type ReadyBlob } from "./blob.ts"

export interface Opened {
  readonly source: BlobSource
  readonly stream: ReadableStream<Uint8Array>
}

export interface Opening {
  readonly descriptor: Descriptor
  readonly attempts: Attempts
  readonly clock: Clock
  readonly offset: number
  readonly signal: AbortSignal
}

/**
 * Opens a source at the offset. One that is only worth a short wait for its first byte gets company when that is over:
 * the next source is opened as well, the one whose first byte comes first is read, the other is left. Null: no source
 * was opened, and `attempts` knows why. Rejects with the signal's reason.
 */
export async function openFirst(source: BlobSource, opening: Opening): Promise<Opened | null> {
  const { attempts, clock, signal } = opening
  const blob = await find(source, opening, signal)
  if (blob === null) return null
  if (source.hedgeMs === undefined) return await open(source, blob, opening, signal)
  const first = new Runner(opening, async (left) => await open(source, blob, opening, left))
  const timer = new AbortController()
  const late = clock.sleep(source.hedgeMs, timer.signal).catch(() => {})
  await Promise.race([first.settled, late]).finally(() => timer.abort())
  signal.throwIfAborted()
  const other = first.isSettled ? null : attempts.other(source)
  if (other === null) return await first.result
  const second = new Runner(opening, async (left) => {
    const found = await find(other, opening, left)
    return found === null ? null : await open(other, found, opening, left)
  })
  const winner = await Promise.any([first.won, second.won]).catch(() => null)
  signal.throwIfAborted()
  for (const runner of [first, second]) if (runner !== winner) runner.leave()
  return (await winner?.result) ?? null
}

/** One source on its way to the first byte. */
class Runner {
  readonly result: Promise<Opened | null>
  readonly settled: Promise<void>
  /** Rejects when the source gives nothing. */
  readonly won: Promise<Runner>
  isSettled = false
  readonly #left = new AbortController()

  constructor(opening: Opening, start: (left: AbortSignal) => Promise<Opened | null>) {
    const signal = AbortSignal.any([opening.signal, this.#left.signal])
    this.result = start(signal).then(async (opened) => (opened === null ? null : await begun(opened, opening, signal)))
    this.result.catch(() => {})
    this.settled = this.result.then(
      () => this.#settle(),
      () => this.#settle(),
    )
    this.won = this.result.then((opened) => (opened === null ? Promise.reject(new Error("it has nothing")) : this))
    this.won.catch(() => {})
  }

  leave(): void {
    this.#left.abort(new DOMException("Another source was faster", "AbortError"))
    void this.result.then((opened) => opened?.stream.cancel()).catch(() => {})
  }

  #settle(): void {
    this.isSettled = true
  }
}

async function find(
  source: BlobSource,
  { attempts, descriptor }: Opening,
  signal: AbortSignal,
): Promise<ReadyBlob | null> {
  try {
    const blob = await source.find(descriptor, signal)
    if (blob === null) attempts.absent(source)
    return blob
  } catch (error) {
    signal.throwIfAborted()
    attempts.failed(source, error, false)
    return null
  }
}

async function open(
  source: BlobSource,
  blob: ReadyBlob,
  { attempts, offset }: Opening,
  signal: AbortSignal,
): Promise<Opened | null> {
  try {
    return { source, stream: await openAt(blob, offset, signal) }
  } catch (error) {
    signal.throwIfAborted()
    attempts.failed(source, error, false)
    return null
  }
}

/** Waits for the first bytes. Null: there are none. */
async function begun({ source, stream }: Opened, { attempts }: Opening, signal: AbortSignal): Promise<Opened | null> {
  const chunks: AsyncIterator<Uint8Array> = stream[Symbol.asyncIterator]()
  try {
    const first = await chunks.next()
    if (first.done === true) throw new Error("the transfer ended before its first byte")
    return { source, stream: resumed(first.value, chunks) }
  } catch (error) {
    signal.throwIfAborted()
    attempts.failed(source, error, false)
    return null
  }
}

function resumed(first: Uint8Array, chunks: AsyncIterator<Uint8Array>): ReadableStream<Uint8Array> {
  let begin: Uint8Array | null = first
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const chunk = begin
        begin = null
        if (chunk !== null) return controller.enqueue(chunk)
        const next = await chunks.next()
        if (next.done === true) controller.close()
        else controller.enqueue(next.value)
      },
      cancel: async () => void (await chunks.return?.()),
    },
    { highWaterMark: 0 },
  )
}
