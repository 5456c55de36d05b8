import type { Clock } from "../lib/clock.ts"
import { abortable } from "../lib/single-flight.ts"
import { type Spool, SpoolGone } from "./spool.ts"

export interface WindowOptions {
  /** Bytes held in memory at most. */
  readonly capacity: number
  /** How long a slow reader may hold up one that waits for bytes. */
  readonly patienceMs: number
  readonly clock: Clock
  /** Called once, when the memory is free again. */
  readonly closed: () => void
}

interface Piece {
  readonly offset: number
  readonly bytes: Uint8Array
}

/**
 * Passes content on through a bounded piece of memory, when no disk can take it. Writing waits for the slowest reader;
 * one that is too slow loses its place and has to fetch for itself.
 */
export class WindowSpool implements Spool {
  readonly isWindow = true
  readonly #options: WindowOptions
  readonly #pieces: Piece[] = []
  #base = 0
  #written = 0
  /** What readers know of: a piece that is half written is not there for them. */
  #visible = 0
  #slowest = 0
  #fastest = 0
  #moved = Promise.withResolvers<void>()
  #isClosed = false

  constructor(options: WindowOptions) {
    this.#options = options
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#visible = this.#written
    for (let offset = 0; offset < bytes.byteLength; ) {
      const room = await this.#room(signal)
      const piece = bytes.subarray(offset, offset + room)
      this.#pieces.push({ offset: this.#written, bytes: piece })
      this.#written += piece.byteLength
      offset += piece.byteLength
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const piece = this.#pieces.find((candidate) => offset < candidate.offset + candidate.bytes.byteLength)
    if (piece === undefined || offset < piece.offset || offset < this.#base) throw new SpoolGone(offset)
    return piece.bytes.subarray(offset - piece.offset, offset - piece.offset + length)
  }

  advance(slowest: number, fastest: number): void {
    this.#slowest = slowest
    this.#fastest = fastest
    this.#wake()
  }

  async reset(): Promise<void> {
    this.#pieces.length = 0
    this.#base = 0
    this.#written = 0
  }

  async keep(): Promise<null> {
    return null
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#pieces.length = 0
    this.#wake()
    this.#options.closed()
  }

  /** Waits until there is room for at least one byte. */
  async #room(signal: AbortSignal | undefined): Promise<number> {
    for (;;) {
      if (this.#isClosed) throw new SpoolGone(this.#written)
      this.#release(this.#slowest)
      const room = this.#options.capacity - (this.#written - this.#base)
      if (room > 0) return room
      if (!(await this.#waited(signal)) && this.#fastest >= this.#visible)
        this.#release(this.#base + this.#firstLength())
    }
  }

  /** False: a reader that waits for bytes has waited long enough for the slow ones. */
  async #waited(signal: AbortSignal | undefined): Promise<boolean> {
    const timer = new AbortController()
    const late = this.#options.clock.sleep(this.#options.patienceMs, timer.signal).then(
      () => false,
      () => true,
    )
    const moved = Promise.race([this.#moved.promise.then(() => true), late]).finally(() => timer.abort())
    return await (signal === undefined ? moved : abortable(moved, signal))
  }

  #firstLength(): number {
    return this.#pieces[0]?.bytes.byteLength ?? 0
  }

  #release(until: number): void {
    for (
      let first = this.#pieces[0];
      first !== undefined && first.offset + first.bytes.byteLength <= until;
      first = this.#pieces[0]
    ) {
      this.#pieces.shift()
      this.#base = first.offset + first.bytes.byteLength
    }
  }

  #wake(): void {
    const moved = this.#moved
    this.#moved = Promise.withResolvers<void>()
    moved.resolve()
  }
}
