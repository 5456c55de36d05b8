/** Somebody who reads a download, or waits for it. */
export interface Reader {
  /** The offset of the next byte that is needed; infinite when none is. */
  position: number
}

/** Those who read one download, and how far they are. */
export class Readers {
  readonly #readers = new Set<Reader>()

  get size(): number {
    return this.#readers.size
  }

  get slowest(): number {
    return Math.min(...this.#positions())
  }

  get fastest(): number {
    return Math.max(...this.#positions())
  }

  add(position: number): Reader {
    const reader = { position }
    this.#readers.add(reader)
    return reader
  }

  delete(reader: Reader): void {
    this.#readers.delete(reader)
  }

  #positions(): readonly number[] {
    return [...this.#readers].map(({ position }) => position)
  }
}
