import type { Clock } from "../lib/clock.ts"
import { begunStream } from "../lib/stream.ts"
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
  const { signal } = opening
  const blob = await find(source, opening, signal)
  if (blob === null) return null
  if (source.hedgeMs === undefined) return await open(source, blob, opening, signal)
  const runners = [new Runner(opening, async (left) => await open(source, blob, opening, left))]
  let winner: Runner | null = null
  try {
    winner = await race(runners, source, opening)
    signal.throwIfAborted()
    return (await winner?.result) ?? null
  } catch (error) {
    winner = null
    throw error
  } finally {
    for (const runner of runners) if (runner !== winner) runner.leave()
  }
}

/** Null: nobody came to a first byte. Starts a second runner when the first has not finished in time. */
async function race(runners: Runner[], source: BlobSource, opening: Opening): Promise<Runner | null> {
  const [first] = runners
  if (first === undefined || source.hedgeMs === undefined) return null
  const timer = new AbortController()
  const late = opening.clock.sleep(source.hedgeMs, timer.signal).catch(() => {})
  await Promise.race([first.settled, late]).finally(() => timer.abort())
  opening.signal.throwIfAborted()
  const other = first.isSettled ? null : opening.attempts.other(source)
  if (other === null) return await first.won.catch(() => null)
  const second = new Runner(opening, async (left) => {
    const found = await find(other, opening, left)
    return found === null ? null : await open(other, found, opening, left)
  })
  runners.push(second)
  return await Promise.any([first.won, second.won]).catch(() => null)
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
  try {
    return { source, stream: await begunStream(stream, signal) }
  } catch (error) {
    signal.throwIfAborted()
    attempts.failed(source, error, false)
    return null
  }
}
