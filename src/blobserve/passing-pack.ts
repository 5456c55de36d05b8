import type { LoadedFrame, PackedFrame } from "../archive/frame.ts"
import { scanInWorker } from "../archive/scan-in-worker.ts"
import type { ScanBatch, ScanLimits } from "../archive/scan-layer.ts"
import type { Semaphore } from "../lib/semaphore.ts"
import { release } from "../lib/sole-bytes.ts"
import type { LayerSource } from "./layer-source.ts"
import type { Pack, PackReader } from "./pack.ts"

export interface PassingPackOptions {
  readonly source: LayerSource
  readonly limits: ScanLimits
  /** For all who read such packs. */
  readonly slots: Semaphore
}

/**
 * The contents of a layer that there is no room for: whoever wants some of them has the layer read anew, as far as they
 * are. Where something is in the archive stays the same, how that is cut into frames does not.
 */
export class PassingPack implements Pack {
  readonly #options: PassingPackOptions

  constructor(options: PassingPackOptions) {
    this.#options = options
  }

  async open(signal: AbortSignal): Promise<PackReader> {
    const release = await this.#options.slots.acquire(signal)
    return new PassingReader(this.#options, release, signal)
  }
}

const NOTHING = new Uint8Array(0)
/** Frames that wait for who reads them. */
const AHEAD = 4

class PassingReader implements PackReader {
  readonly #options: PassingPackOptions
  readonly #release: () => void
  readonly #signal: AbortSignal
  readonly #left = new AbortController()
  readonly #waiting: PackedFrame[] = []
  #wanted = 0
  #scan: Promise<void> | null = null
  /** Undefined: the scan goes on. */
  #end: { readonly error: unknown } | undefined
  #changed = Promise.withResolvers<void>()

  constructor(options: PassingPackOptions, release: () => void, signal: AbortSignal) {
    this.#options = options
    this.#release = release
    this.#signal = signal
    signal.addEventListener("abort", this.#leave, { once: true })
    if (signal.aborted) this.#leave()
  }

  async frameAt(position: number): Promise<LoadedFrame> {
    this.#wanted = position
    this.#left.signal.throwIfAborted()
    this.#scan ??= this.#run()
    for (;;) {
      for (let first = this.#waiting[0]; first !== undefined && isBefore(first, position); first = this.#waiting[0])
        this.#waiting.shift()
      this.#wake()
      const [frame] = this.#waiting
      if (frame !== undefined) return { ...frame, source: NOTHING }
      if (this.#end !== undefined) throw this.#end.error
      await this.#changed.promise
    }
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener("abort", this.#leave)
    this.#left.abort(new Error("Nobody reads the layer any more"))
    this.#wake()
    await this.#scan
    this.#release()
  }

  /** A layer is as long as it is: whoever waits for its end cannot close it meanwhile. */
  readonly #leave = (): void => {
    this.#left.abort(this.#signal.reason)
    void this.close()
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { limits, source } = this.#options
    const { signal } = this.#left
    try {
      const stream = await source.open(signal)
      const take = async (batch: ScanBatch) => await this.#take(batch)
      await scanInWorker({ stream, limits, isKept: false, store: null, signal, take })
      this.#end = { error: new Error("A layer holds less than its index says") }
    } catch (error) {
      this.#end = { error }
    }
    this.#wake()
  }

  async #take({ frames, packed }: ScanBatch): Promise<void> {
    for (const [at, frame] of frames.entries()) {
      const bytes = packed[at]
      if (bytes !== undefined && !isBefore({ frame }, this.#wanted)) this.#waiting.push({ frame, packed: bytes })
      else if (bytes !== undefined) release(bytes.buffer)
    }
    this.#wake()
    while (this.#waiting.length >= AHEAD && !this.#left.signal.aborted) await this.#changed.promise
    this.#left.signal.throwIfAborted()
  }

  #wake(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }
}

const isBefore = ({ frame: { bytes, start } }: Pick<PackedFrame, "frame">, position: number): boolean =>
  start + bytes <= position
