import { findBlockStart } from "./block-start.ts"
import type { DeflateProgress, Room } from "./decoder.ts"
import { DeflateTrail, type Place } from "./deflate-trail.ts"
import { FRAME_BYTES, PACK_LEVEL, type PackedFrame } from "./frame.ts"
import { WINDOW_BYTES } from "./inflate-part.ts"
import { packSpan, type Span } from "./span.ts"

/** From here on it is looked where blocks end: at one of these places the frame will be cut. */
const WATCHED_FROM = (FRAME_BYTES / 8) * 5

/**
 * Cuts an archive into frames, several at a time on the runtime's threads. What came in blocks of deflate is left in the
 * layer, wherever it can be cut between them, and anything else is compressed. Of a layer that is not kept, frames have
 * the content as it is.
 */
export class FrameWriter {
  readonly #isKept: boolean
  /** What came before, as far as blocks may refer to it, and the content of the frame. */
  #buffer = new Uint8Array(WINDOW_BYTES + FRAME_BYTES)
  /** Used again, because memory of this size is given back late. */
  readonly #spare: Uint8Array<ArrayBuffer>[] = []
  readonly #trail = new DeflateTrail()
  #filled = 0
  #start = 0
  #packOffset = 0
  #collected = 0
  /** The last frame ended before it was full, as where the source is slow: so may the next, which needs places then. */
  #isInterrupted = false
  readonly #packing: Promise<PackedFrame>[] = []

  constructor({ isKept }: { readonly isKept: boolean }) {
    this.#isKept = isKept
  }

  /** How much content is in the frames that were collected. */
  get collected(): number {
    return this.#collected
  }

  /** Frames that are not collected yet. */
  get waiting(): number {
    return this.#packing.length
  }

  /** For what comes next. What it is added to is made a frame first if it is full. */
  room(): Room {
    if (this.#filled === FRAME_BYTES) {
      this.#isInterrupted = false
      this.#cut(this.#trail.best())
    }
    const bytes = this.#buffer.subarray(WINDOW_BYTES + this.#filled)
    return { bytes, unwatched: this.#unwatched(bytes) }
  }

  #unwatched({ byteLength }: Uint8Array): number {
    if (!this.#isKept) return byteLength
    const isWatched = this.#isInterrupted || !this.#trail.needsNoPlaces
    return isWatched ? 0 : Math.max(0, WATCHED_FROM - this.#filled)
  }

  /** What a decoder has given, in the room that it had or elsewhere, and how it came to it. */
  add(bytes: Uint8Array, deflate: DeflateProgress | null): void {
    if (deflate === null || !this.#isKept) this.#trail.lose()
    else this.#trail.took(deflate, bytes.byteLength > 0)
    if (bytes.buffer === this.#buffer.buffer) this.#filled += bytes.byteLength
    else this.#copy(bytes)
    if (deflate?.isBetweenBlocks === true) this.#trail.pause(this.#filled)
  }

  #copy(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.byteLength; ) {
      const room = this.room().bytes
      const piece = bytes.subarray(offset, offset + room.byteLength)
      room.set(piece)
      this.#filled += piece.byteLength
      offset += piece.byteLength
    }
  }

  /** Makes a frame of the blocks that have come so far, if they are worth one. */
  flushBlocks(): void {
    const place = this.#trail.best()
    if (place !== null) this.#cut(place)
  }

  /** Makes a frame of all that has come so far. */
  flush(): void {
    this.#isInterrupted = true
    this.flushBlocks()
    if (this.#filled > 0) this.#cut(null)
  }

  /** The next frame, in order. Null: there is none to wait for. */
  async collect(): Promise<PackedFrame | null> {
    const next = await this.#packing.shift()
    if (next === undefined) return null
    const packOffset = this.#packOffset
    this.#packOffset += next.packed.byteLength
    this.#collected = next.frame.start + next.frame.bytes
    return { packed: next.packed, frame: { ...next.frame, packOffset } }
  }

  #cut(place: Place | null): void {
    const buffer = this.#buffer
    const start = this.#start
    const end = WINDOW_BYTES + (place?.content ?? this.#filled)
    const content = buffer.subarray(WINDOW_BYTES, end)
    const span = place === null ? null : this.#span(place, content)
    this.#begin(end)
    if (place === null) this.#trail.lose()
    else this.#trail.cut(place)
    const form = this.#isKept ? packed(content, span) : Promise.resolve({ packed: content.slice(), ...NO_SOURCE })
    this.#packing.push(form.then((found) => frameOf(found, start, content)).finally(() => this.#spare.push(buffer)))
  }

  /** Null: it is no span. */
  #span(place: Place, content: Uint8Array): Found | null {
    const source = this.#trail.until(place)
    if (source === null) return null
    const window = this.#buffer.subarray(Math.max(0, WINDOW_BYTES - this.#start), WINDOW_BYTES)
    const skip = findBlockStart(source.bytes, window, content)
    return skip === null ? null : { skip, window, sourceOffset: source.offset, sourceBytes: source.bytes.byteLength }
  }

  /** Goes on with another buffer, from `end` of this one. */
  #begin(end: number): void {
    const next = this.#spare.pop() ?? new Uint8Array(WINDOW_BYTES + FRAME_BYTES)
    const filled = WINDOW_BYTES + this.#filled
    next.set(this.#buffer.subarray(end - WINDOW_BYTES, filled))
    this.#start += end - WINDOW_BYTES
    this.#filled = filled - end
    this.#buffer = next
  }
}

interface Found extends Span {
  readonly sourceOffset: number
}

/** What becomes of a frame's content. */
interface Form {
  readonly packed: Uint8Array<ArrayBuffer>
  readonly sourceOffset: number
  readonly sourceBytes: number
}

const NO_SOURCE = { sourceOffset: 0, sourceBytes: 0 }

async function packed(content: Uint8Array<ArrayBuffer>, span: Found | null): Promise<Form> {
  const inLayer = span === null ? null : await packSpan(span)
  if (span !== null && inLayer !== null)
    return { packed: inLayer, sourceOffset: span.sourceOffset, sourceBytes: span.sourceBytes }
  const compressed = owned(await Bun.zstdCompress(content, { level: PACK_LEVEL }))
  return { packed: compressed.byteLength < content.byteLength ? compressed : content.slice(), ...NO_SOURCE }
}

const frameOf = ({ packed, ...source }: Form, start: number, { byteLength: bytes }: Uint8Array): PackedFrame => ({
  packed,
  frame: { start, bytes, packOffset: 0, packedBytes: packed.byteLength, ...source },
})

/** Bytes in memory of their own, which can be handed to another thread. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes)
}
