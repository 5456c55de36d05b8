import type { Descriptor } from "../oci/descriptor.ts"
import type { FileBlob } from "./blob.ts"
import type { OpenSpool, Spool } from "./spool.ts"

interface Piece {
  readonly offset: number
  readonly bytes: Uint8Array
}

/** What one transfer holds in memory for all of its readers. */
const PIECES = 2

/** Spools whose latest bytes are also in memory. */
export const withLiveEdge =
  (open: OpenSpool): OpenSpool =>
  async (size) =>
    new LiveEdgeSpool(await open(size))

/**
 * Gives readers that keep up with a transfer the bytes that have just arrived: they share them, and need not read them
 * back from the disk. All others read from the spool itself.
 */
class LiveEdgeSpool implements Spool {
  readonly #spool: Spool
  #pieces: readonly Piece[] = []
  #written = 0

  constructor(spool: Spool) {
    this.#spool = spool
  }

  get isWindow(): boolean {
    return this.#spool.isWindow
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    await this.#spool.write(bytes, signal)
    this.#pieces = [...this.#pieces.slice(1 - PIECES), { offset: this.#written, bytes }]
    this.#written += bytes.byteLength
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    for (const piece of this.#pieces) {
      const start = offset - piece.offset
      if (start >= 0 && start < piece.bytes.byteLength) return piece.bytes.subarray(start, start + length)
    }
    return await this.#spool.read(offset, length)
  }

  advance(slowest: number, fastest: number): void {
    this.#spool.advance(slowest, fastest)
  }

  async reset(): Promise<void> {
    this.#pieces = []
    this.#written = 0
    await this.#spool.reset()
  }

  async keep(descriptor: Descriptor): Promise<FileBlob | null> {
    this.#pieces = [] // nothing more arrives, and readers may stay for long
    return await this.#spool.keep(descriptor)
  }

  async close(): Promise<void> {
    this.#pieces = []
    await this.#spool.close()
  }
}
