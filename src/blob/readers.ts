/** Somebody who reads a download, or waits for it. */
export interface Reader {
  /** The offset of the next byte that is needed; infinite when none is. Changed by `Readers` alone. */
  position: number
  /** Uses what comes before it is verified, however small the blob is. */
  readonly isEarly: boolean
}

/** How far the first or the last of the readers is, and how many are there. */
interface End {
  position: number
  count: number
}

/** Those who read one download. Looks at all of them only when the last one at an end has left it. */
export class Readers {
  readonly #readers = new Set<Reader>()
  readonly #slowest: End = { position: Number.POSITIVE_INFINITY, count: 0 }
  readonly #fastest: End = { position: Number.NEGATIVE_INFINITY, count: 0 }

  get size(): number {
    return this.#readers.size
  }

  get slowest(): number {
    return this.#slowest.position
  }

  get fastest(): number {
    return this.#fastest.position
  }

  add(position: number, isEarly = false): Reader {
    const reader = { position, isEarly }
    this.#readers.add(reader)
    this.#arrive(position)
    return reader
  }

  move(reader: Reader, position: number): void {
    const before = reader.position
    reader.position = position
    if (!this.#readers.has(reader)) return
    this.#arrive(position)
    this.#depart(before)
  }

  delete(reader: Reader): void {
    if (this.#readers.delete(reader)) this.#depart(reader.position)
  }

  #arrive(position: number): void {
    if (position < this.#slowest.position || this.#slowest.count === 0)
      Object.assign(this.#slowest, { position, count: 0 })
    if (position > this.#fastest.position || this.#fastest.count === 0)
      Object.assign(this.#fastest, { position, count: 0 })
    if (position === this.#slowest.position) this.#slowest.count += 1
    if (position === this.#fastest.position) this.#fastest.count += 1
  }

  #depart(position: number): void {
    if (position === this.#slowest.position) this.#slowest.count -= 1
    if (position === this.#fastest.position) this.#fastest.count -= 1
    if (this.#slowest.count > 0 && this.#fastest.count > 0) return
    this.#slowest.count = 0
    this.#fastest.count = 0
    for (const reader of this.#readers) this.#arrive(reader.position)
  }
}
