import type { DeflateProgress } from "./decoder.ts"
import { FRAME_BYTES } from "./frame.ts"

/** A place between two blocks. */
export interface Place {
  /** Where it is in the content. */
  readonly content: number
  /** How much of the source is before it. */
  readonly end: number
  /** Where the source of what follows begins: behind blocks without content, or the header of another member of gzip. */
  start: number
}

/** What is larger compressed is not worth keeping as it is. */
const SOURCE_BYTES = FRAME_BYTES
/** Less content is not worth a frame of its own, as long as it can be chosen. */
const MIN_CONTENT = FRAME_BYTES / 4
/** The end of one member of gzip and the header of the next (RFC 1952, 2.3); nothing can be decoded across them. */
const SEAM_BYTES = 18
/** What every member begins with. */
const MEMBER = Buffer.from([0x1f, 0x8b, 8])

/** The compressed source of a frame that is being filled, and the places where it can be cut. */
export class DeflateTrail {
  readonly #source = new Uint8Array(SOURCE_BYTES)
  #filled = 0
  /** How much of the source was used when content came last. */
  #contentEnd = 0
  #places: Place[] = []
  /** The frame begins with a block; its bits begin in the first byte of the source, or with the second. */
  #beginsBlock = false
  /** Not all places are known of what is before the first one. */
  #hasUnwatched = false
  /** No more places are taken behind the last one: there may be a seam between. */
  #isStalled = false
  /** There was a seam in the frame before, or what may be one. */
  #expectsSeams = false

  /** True: there will be places enough behind what comes next. What is behind a place is known in all its parts. */
  get needsNoPlaces(): boolean {
    return this.#beginsBlock && !this.#expectsSeams && this.#places.length === 0
  }

  /** Told of each step of the decoder, before its content is added. */
  took({ isWatched, taken }: DeflateProgress, hasContent: boolean): void {
    this.#hasUnwatched ||= !isWatched
    if (this.#filled + taken.byteLength > SOURCE_BYTES) this.lose()
    if (taken.byteLength > SOURCE_BYTES) return
    this.#source.set(taken, this.#filled)
    this.#filled += taken.byteLength
    if (hasContent) this.#contentEnd = this.#filled
  }

  /** Told when the decoder has stopped between blocks, after so much content of the frame. */
  pause(content: number): void {
    const last = this.#places.at(-1)
    if (this.#filled === 0 || this.#isStalled) return // without the byte before, or what is between, nothing can begin here
    if (content === 0) {
      this.#beginsBlock = true
      this.#dropSource(this.#filled - 1)
    } else if (last?.content === content) last.start = this.#filled
    else this.#places.push({ content, end: this.#contentEnd, start: this.#filled })
  }

  /**
   * Told when it has come to the end of a piece without content. It may have stopped between blocks as well: nobody can
   * tell, so there may be a seam that is no place.
   */
  stall(): void {
    if (this.#filled - this.#contentEnd < SEAM_BYTES) return
    if (this.#places.length === 0) this.#hasUnwatched = true
    else this.#isStalled = true
  }

  /** Where the frame is best cut once it is full. Null: anywhere. */
  best(): Place | null {
    // What is before the first block cannot be kept as it is, but all that follows can
    const least = this.#beginsBlock ? MIN_CONTENT : MIN_CONTENT / 8
    const places = this.#places.filter(({ content }) => content >= least)
    const best = this.#beginsBlock ? (places.find(isSeam) ?? places.at(-1)) : places[0]
    return best ?? null
  }

  /** The source of all content before the place, from the byte before its first one. Null: it cannot be decoded by itself. */
  until(place: Place): Uint8Array | null {
    return this.#beginsBlock && !this.#hasSeam(place) ? this.#source.subarray(0, place.end) : null
  }

  /** True also where there may be one: every 16 millionth place looks so. */
  #hasSeam({ content, end }: Place): boolean {
    return (
      this.#places.some((before) => before.content < content && isSeam(before)) ||
      (this.#hasUnwatched && Buffer.from(this.#source.buffer, 0, end).includes(MEMBER))
    )
  }

  /** The next frame begins there. */
  cut(place: Place): void {
    const { content, start: next } = place
    this.#expectsSeams = isSeam(place) || this.#hasSeam(place)
    const dropped = next - 1
    this.#places = this.#places
      .filter((candidate) => candidate.content > content)
      .map((later) => ({ content: later.content - content, end: later.end - dropped, start: later.start - dropped }))
    this.#hasUnwatched = this.#isStalled && this.#places.length === 0
    this.#isStalled &&= this.#places.length > 0
    this.#beginsBlock = true
    this.#dropSource(dropped)
  }

  /** The next frame begins anywhere, or the source is not known any more. */
  lose(): void {
    this.#beginsBlock = false
    this.#hasUnwatched = false
    this.#isStalled = false
    this.#filled = 0
    this.#contentEnd = 0
    this.#places = []
  }

  #dropSource(bytes: number): void {
    this.#source.copyWithin(0, bytes, this.#filled)
    this.#filled -= bytes
    this.#contentEnd = Math.max(0, this.#contentEnd - bytes)
  }
}

const isSeam = ({ end, start }: Place): boolean => start - end >= SEAM_BYTES
