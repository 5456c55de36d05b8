import { FRAME_BYTES, type Frame } from "./frame.ts"

export interface PackedFrame {
  readonly frame: Frame
  readonly packed: Uint8Array<ArrayBuffer>
}

/** Fast, and nearly as small as what layers are usually sent as. */
const LEVEL = 1

/** Cuts contents into frames and compresses them, several at a time on the runtime's threads. */
export class FrameWriter {
  #buffer = new Uint8Array(FRAME_BYTES)
  /** Used again, because memory of this size is given back late. */
  readonly #spare: Uint8Array<ArrayBuffer>[] = []
  #filled = 0
  #start = 0
  #packOffset = 0
  #collected = 0
  readonly #packing: Promise<PackedFrame>[] = []

  /** How much content was added. */
  get position(): number {
    return this.#start + this.#filled
  }

  /** How much content is in the frames that were collected. */
  get collected(): number {
    return this.#collected
  }

  /** Frames that are not collected yet. */
  get waiting(): number {
    return this.#packing.length
  }

  add(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.byteLength; ) {
      const piece = bytes.subarray(offset, offset + FRAME_BYTES - this.#filled)
      this.#buffer.set(piece, this.#filled)
      this.#filled += piece.byteLength
      offset += piece.byteLength
      if (this.#filled === FRAME_BYTES) this.flush()
    }
  }

  /** Makes a frame of what has come so far. */
  flush(): void {
    if (this.#filled === 0) return
    const buffer = this.#buffer
    const content = buffer.subarray(0, this.#filled)
    const start = this.#start
    this.#start += this.#filled
    this.#filled = 0
    this.#buffer = this.#spare.pop() ?? new Uint8Array(FRAME_BYTES)
    this.#packing.push(this.#pack(content, start).finally(() => this.#spare.push(buffer)))
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

  async #pack(content: Uint8Array<ArrayBuffer>, start: number): Promise<PackedFrame> {
    const compressed = await Bun.zstdCompress(content, { level: LEVEL })
    const packed = compressed.byteLength < content.byteLength ? owned(compressed) : content.slice()
    return { packed, frame: { start, bytes: content.byteLength, packOffset: 0, packedBytes: packed.byteLength } }
  }
}

/** Bytes in memory of their own, which can be handed to another thread. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes)
}
