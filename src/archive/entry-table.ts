import type { EntryType, LayerEntry } from "./layer-entry.ts"
import type { LayerPath } from "./layer-path.ts"

export const ENTRY_TYPES: readonly EntryType[] = ["file", "directory", "symlink", "hardlink", "special"]
export const SHA_BYTES = 32

const FIRST_ROWS = 1024
const FIRST_TEXT = 64 * 1024

/**
 * Entries in columns of numbers and one piece of text: hundreds of thousands of objects would take ten times the
 * memory. The latest row of a path is found by its hash.
 */
export class EntryTable {
  #count = 0
  #numbers = new Float64Array(FIRST_ROWS * 3)
  #ends = new Uint32Array(FIRST_ROWS * 2)
  #modes = new Uint16Array(FIRST_ROWS)
  #types = new Uint8Array(FIRST_ROWS)
  #hashes = new Uint8Array(FIRST_ROWS * SHA_BYTES)
  #text = Buffer.alloc(FIRST_TEXT)
  #textEnd = 0
  /** A row and one, or 0 for none; twice as many as rows at least. */
  #slots = new Int32Array(FIRST_ROWS * 2)

  get count(): number {
    return this.#count
  }

  /** Gives the row of the latest entry of the path; -1: there is none. */
  find(path: LayerPath): number {
    const row = (this.#slots[this.#slotOf(path)] ?? 0) - 1
    return row
  }

  add(entry: LayerEntry): void {
    if (this.#count === this.#modes.length) this.#grow()
    const row = this.#count
    this.#count += 1
    this.#numbers.set([entry.size, entry.offset, entry.mtime], row * 3)
    this.#modes[row] = entry.mode
    this.#types[row] = ENTRY_TYPES.indexOf(entry.type)
    if (entry.sha256 !== "") this.#hashes.set(Buffer.from(entry.sha256, "hex"), row * SHA_BYTES)
    this.#ends[row * 2] = this.#write(entry.path)
    this.#ends[row * 2 + 1] = this.#write(entry.link)
    this.#slots[this.#slotOf(entry.path)] = row + 1
  }

  path(row: number): LayerPath {
    return this.#text.toString("latin1", this.#start(row), this.#ends[row * 2])
  }

  type(row: number): EntryType {
    return ENTRY_TYPES[this.#types[row] ?? 0] ?? "special"
  }

  entry(row: number): LayerEntry {
    const [size = 0, offset = 0, mtime = 0] = this.#numbers.subarray(row * 3)
    const type = this.type(row)
    const hash = Buffer.from(this.#hashes.buffer, row * SHA_BYTES, SHA_BYTES)
    return {
      path: this.path(row),
      type,
      link: this.#text.toString("latin1", this.#ends[row * 2], this.#ends[row * 2 + 1]),
      mode: this.#modes[row] ?? 0,
      mtime,
      size,
      offset,
      sha256: type === "file" ? hash.toString("hex") : "",
    }
  }

  /** The order of the bytes of two rows' paths. */
  compare(one: number, other: number): number {
    const text = this.#text
    return text.compare(text, this.#start(other), this.#ends[other * 2], this.#start(one), this.#ends[one * 2])
  }

  #start(row: number): number {
    return row === 0 ? 0 : (this.#ends[row * 2 - 1] ?? 0)
  }

  #write(text: string): number {
    if (this.#textEnd + text.length > this.#text.length) {
      const larger = Buffer.alloc(Math.max(this.#text.length * 2, this.#textEnd + text.length))
      larger.set(this.#text.subarray(0, this.#textEnd))
      this.#text = larger
    }
    this.#textEnd += this.#text.write(text, this.#textEnd, "latin1")
    return this.#textEnd
  }

  /** The slot of a path: its own, or the free one where it belongs. */
  #slotOf(path: LayerPath): number {
    const mask = this.#slots.length - 1
    for (let slot = Bun.hash.xxHash32(path) & mask; ; slot = (slot + 1) & mask) {
      const row = (this.#slots[slot] ?? 0) - 1
      if (row === -1 || this.path(row) === path) return slot
    }
  }

  #grow(): void {
    const rows = this.#modes.length * 2
    this.#numbers = enlarged(this.#numbers, new Float64Array(rows * 3))
    this.#ends = enlarged(this.#ends, new Uint32Array(rows * 2))
    this.#modes = enlarged(this.#modes, new Uint16Array(rows))
    this.#types = enlarged(this.#types, new Uint8Array(rows))
    this.#hashes = enlarged(this.#hashes, new Uint8Array(rows * SHA_BYTES))
    this.#slots = new Int32Array(rows * 2)
    for (let row = 0; row < this.#count; row += 1) this.#slots[this.#slotOf(this.path(row))] = row + 1
  }
}

function enlarged<Column extends { set(from: Column): void }>(from: Column, to: Column): Column {
  to.set(from)
  return to
}
