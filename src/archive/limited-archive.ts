import { detectEncoding, ENCODING_HEAD, type Encoding } from "../lib/decompress.ts"
import { ArchiveError } from "./archive-error.ts"
import { type Decoder, PlainDecoder } from "./decoder.ts"
import type { FrameWriter } from "./frame-writer.ts"
import type { TarReader } from "./tar-reader.ts"
import { GzipDecoder, ZstdDecoder } from "./zlib-decoder.ts"

export interface ArchiveLimits {
  /** Of the archive, uncompressed. */
  readonly maxBytes: number
  /** How much larger than the compressed layer the archive may be, once it has more than `ratioFromBytes`. */
  readonly maxRatio: number
  readonly ratioFromBytes: number
}

/** An archive as it is sent: finds out how it is compressed, reads it until it gets too large, and makes frames of it. */
export class LimitedArchive {
  readonly #reader: TarReader
  readonly #frames: FrameWriter
  readonly #limits: ArchiveLimits
  #head = new Uint8Array(0)
  #decoder: Decoder | null = null
  #compressed = 0
  #size = 0

  constructor(reader: TarReader, frames: FrameWriter, limits: ArchiveLimits) {
    this.#reader = reader
    this.#frames = frames
    this.#limits = limits
  }

  /** The next piece; `step` has said that there is no more in the one before. */
  write(piece: Uint8Array): void {
    this.#compressed += piece.byteLength
    if (this.#decoder !== null) {
      this.#decoder.write(piece)
      return
    }
    const begin = this.#head.byteLength === 0 ? piece : Buffer.concat([this.#head, piece])
    this.#head = begin.slice(0, ENCODING_HEAD)
    if (begin.byteLength < ENCODING_HEAD) return
    this.#decoder = decoderOf(detectEncoding(begin))
    this.#decoder.write(begin)
  }

  /** Reads a part of the last piece. False: there is no more in it. Throws ArchiveError. */
  step(): boolean {
    const decoder = this.#decoder
    const bytes = decoder?.read(this.#frames.room()) ?? null
    if (decoder === null || bytes === null) return false
    this.#size += bytes.byteLength
    const { maxBytes, maxRatio, ratioFromBytes } = this.#limits
    if (this.#size > maxBytes) throw new ArchiveError(`it has more than ${maxBytes} bytes`)
    if (this.#size > ratioFromBytes && this.#size > this.#compressed * maxRatio)
      throw new ArchiveError(`it is more than ${maxRatio} times as large as it was compressed`)
    if (!this.#reader.isOver) this.#frames.add(bytes, decoder.deflate)
    this.#reader.update(bytes)
    return true
  }

  /** Throws ArchiveError where it must not end. */
  end(): void {
    this.#decoder?.end()
    this.#reader.end()
  }

  close(): void {
    this.#decoder?.close()
  }
}

function decoderOf(encoding: Encoding): Decoder {
  switch (encoding) {
    case "none":
      return new PlainDecoder()
    case "gzip":
      return new GzipDecoder()
    case "zstd":
      return new ZstdDecoder()
    default:
      return encoding satisfies never
  }
}
