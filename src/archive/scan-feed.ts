import type { ToScanner } from "./scan-messages.ts"

/** Bytes that wait in the worker; what it unpacks of them at once is bounded by it. */
const AHEAD_BYTES = 2 * 1024 * 1024
/** As long as the worker has so many pieces, only whole ones follow. */
const ENOUGH = 2
const PIECE_BYTES = 512 * 1024
/** The collector hears late of memory outside its heap, which is what transfers leave behind: half as much again, by then. */
const COLLECT_BYTES = 64 * 1024 * 1024

export interface ScanFeedOptions {
  readonly post: (message: ToScanner, transfer?: ArrayBuffer[]) => void
  /** Takes each piece before it is sent. Called in order, the next time when it has resolved. Null: nobody does. */
  readonly store: ((piece: Uint8Array) => Promise<void>) | null
  /** Told why a piece was not taken. Nothing is sent from then on. */
  readonly failed: (error: unknown) => void
}

/** Brings a layer to the worker that scans it, in memory that goes to and fro. */
export class ScanFeed {
  readonly #options: ScanFeedOptions
  readonly #spare: Uint8Array<ArrayBuffer>[] = []
  #buffer = new Uint8Array(PIECE_BYTES)
  #filled = 0
  #uncollected = 0
  /** What the worker has, and has not used. */
  #pieces = 0
  #bytes = 0
  #isClosed = false
  #changed = Promise.withResolvers<void>()
  /** Resolves when what was filled is stored. Never rejects. */
  #stored: Promise<void> = Promise.resolve()

  constructor(options: ScanFeedOptions) {
    this.#options = options
  }

  /** Resolves when it is sent, or soon will be. False: nothing is wanted any more. */
  async add(bytes: Uint8Array): Promise<boolean> {
    for (let offset = 0; offset < bytes.byteLength; ) {
      const piece = bytes.subarray(offset, offset + PIECE_BYTES - this.#filled)
      this.#buffer.set(piece, this.#filled)
      this.#filled += piece.byteLength
      offset += piece.byteLength
      if (this.#filled === PIECE_BYTES) await this.#room()
      if (this.#isClosed) return false
    }
    if (this.#pieces < ENOUGH) this.#send()
    this.#collect(bytes.byteLength)
    return true
  }

  /** After the last bytes. */
  end(): void {
    this.#send()
    this.#inTurn(null, () => this.#options.post({ kind: "end" }))
  }

  /** The worker has used a piece, and gives its memory back. */
  used({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
    this.#spare.push(new Uint8Array(buffer))
    this.#pieces -= 1
    this.#bytes -= byteLength
    if (this.#pieces < ENOUGH) this.#send()
    this.#wake()
  }

  /** Sends nothing more; resolves when nothing is being stored any more. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#wake()
    await this.#stored
  }

  #collect(bytes: number): void {
    this.#uncollected += bytes
    if (this.#uncollected < COLLECT_BYTES) return
    this.#uncollected = 0
    Bun.gc(true)
  }

  /** Waits until what is filled may be sent, and sends it. */
  async #room(): Promise<void> {
    while (this.#bytes + this.#filled > AHEAD_BYTES && !this.#isClosed) await this.#changed.promise
    this.#send()
  }

  #send(): void {
    if (this.#filled === 0 || this.#isClosed) return
    const bytes = this.#buffer.subarray(0, this.#filled)
    this.#buffer = this.#spare.pop() ?? new Uint8Array(PIECE_BYTES)
    this.#filled = 0
    this.#pieces += 1
    this.#bytes += bytes.byteLength
    this.#inTurn(bytes, () => this.#options.post({ kind: "bytes", bytes }, [bytes.buffer]))
  }

  /** Sends behind all that is being stored, at once where nothing is. */
  #inTurn(piece: Uint8Array | null, send: () => void): void {
    const { failed, store } = this.#options
    if (store === null) {
      send()
      return
    }
    this.#stored = this.#stored.then(async () => {
      if (this.#isClosed) return
      try {
        if (piece !== null) await store(piece)
        if (!this.#isClosed) send()
      } catch (error) {
        this.#isClosed = true
        failed(error)
      }
    })
  }

  #wake(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }
}
