import type { ToScanner } from "./scan-messages.ts"

/** Bytes that wait in the worker; what it unpacks of them at once is bounded by it. */
const AHEAD_BYTES = 1024 * 1024
/** As long as the worker has so many pieces, only whole ones follow. */
const ENOUGH = 2
const PIECE_BYTES = 256 * 1024
/** The collector hears late of memory outside its heap, which is what transfers leave behind: half as much again, by then. */
const COLLECT_BYTES = 64 * 1024 * 1024

/** Brings a layer to the worker that scans it, in memory that goes to and fro. */
export class ScanFeed {
  readonly #post: (message: ToScanner, transfer?: ArrayBuffer[]) => void
  readonly #spare: Uint8Array<ArrayBuffer>[] = []
  #buffer = new Uint8Array(PIECE_BYTES)
  #filled = 0
  #uncollected = 0
  /** What the worker has, and has not used. */
  #pieces = 0
  #bytes = 0
  #isClosed = false
  #changed = Promise.withResolvers<void>()

  constructor(post: (message: ToScanner, transfer?: ArrayBuffer[]) => void) {
    this.#post = post
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
    this.#post({ kind: "end" })
  }

  /** The worker has used a piece, and gives its memory back. */
  used({ buffer, byteLength }: Uint8Array<ArrayBuffer>): void {
    this.#spare.push(new Uint8Array(buffer))
    this.#pieces -= 1
    this.#bytes -= byteLength
    if (this.#pieces < ENOUGH) this.#send()
    this.#wake()
  }

  close(): void {
    this.#isClosed = true
    this.#wake()
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
    this.#post({ kind: "bytes", bytes }, [bytes.buffer])
  }

  #wake(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }
}
