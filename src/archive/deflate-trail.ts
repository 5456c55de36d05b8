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

/** The source of a frame, and where it is in the layer. */
export interface FrameSource {
  readonly bytes: Uint8Array
  readonly offset: number
}

/** What is larger compressed is not worth leaving as it is. */
const SOURCE_BYTES = FRAME_BYTES
/** Less content is not worth a frame of its own, as long as it can be chosen. */
const MIN_CONTENT = FRAME_BYTES / 4

/** The compressed source of a frame that is being filled, and the places where it can be cut. */
export class DeflateTrail {
  readonly #source = new Uint8Array(SOURCE_BYTES)
  #filled = 0
  /** Where the source that has come ends in the layer. */
  #position = 0
  /** How much of the source was used when content came last. */
  #contentEnd = 0
  #places: Place[] = []
  /** The frame begins with a block; its bits begin in the first byte of the source, or with the second. */
  #beginsBlock = false

  /** True: there will be places enough behind what comes next. */
  get needsNoPlaces(): boolean {
    return this.#beginsBlock && this.#places.length === 0
  }

  /** Told of each step of the decoder, before its content is added. */
  took({ position, taken }: DeflateProgress, hasContent: boolean): void {
    this.#position = position
    if (this.#filled + taken.byteLength > SOURCE_BYTES) this.lose()
    if (taken.byteLength > SOURCE_BYTES) return
    this.#source.set(taken, this.#filled)
    this.#filled += taken.byteLength
    if (hasContent) this.#contentEnd = this.#filled
  }

  /** Told when the decoder has stopped between blocks, after so much content of the frame. */
  pause(content: number): void {
    const last = this.#places.at(-1)
    if (this.#filled === 0) return // without the byte before, nothing can begin here
    if (content === 0) {
      this.#beginsBlock = true
      this.#dropSource(this.#filled - 1)
    } else if (last?.content === content) last.start = this.#filled
    else this.#places.push({ content, end: this.#contentEnd, start: this.#filled })
  }

  /** Where the frame is best cut once it is full. Null: anywhere. */
  best(): Place | null {
    // What is before the first block cannot be kept as it is, but all that follows can
    const least = this.#beginsBlock ? MIN_CONTENT : MIN_CONTENT / 8
    const places = this.#places.filter(({ content }) => content >= least)
    return (this.#beginsBlock ? places.at(-1) : places[0]) ?? null
  }

  /** The source of all content before the place, from the byte before its first one. Null: it cannot be decoded by itself. */
  until({ end }: Place): FrameSource | null {
    const offset = this.#position - this.#filled
    return this.#beginsBlock ? { bytes: this.#source.subarray(0, end), offset } : null
  }

  /** The next frame begins there. */
  cut({ content, start: next }: Place): void {
    const dropped = next - 1
    this.#places = this.#places
      .filter((candidate) => candidate.content > content)
      .map((later) => ({ content: later.content - content, end: later.end - dropped, start: later.start - dropped }))
    this.#beginsBlock = true
    this.#dropSource(dropped)
  }

  /** The next frame begins anywhere, or the source is not known any more. */
  lose(): void {
    this.#beginsBlock = false
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
