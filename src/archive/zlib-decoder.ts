import { constants, createGunzip, createZstdDecompress } from "node:zlib"
import { ArchiveError } from "./archive-error.ts"
import type { Decoder, DeflateProgress, Room } from "./decoder.ts"
import { ZlibEngine } from "./zlib-engine.ts"

const NOTHING = new Uint8Array(0)

class ZlibDecoder {
  readonly #engine: ZlibEngine
  /** What the last run has used of the piece, and whether it has stopped with room for more. */
  taken: Uint8Array = NOTHING
  /** What was used in all. */
  position = 0
  hasStopped = false

  constructor(stream: unknown) {
    this.#engine = new ZlibEngine(stream)
  }

  write(piece: Uint8Array): void {
    this.#engine.write(piece)
  }

  /** What is not used of the last piece. */
  get rest(): Uint8Array {
    return this.#engine.rest
  }

  /** Null: it takes no more of the last piece. */
  run(flush: number, output: Uint8Array): Uint8Array | null {
    const before = this.rest
    const given = this.#engine.run(flush, output)
    const left = this.rest.byteLength
    this.taken = before.subarray(0, before.byteLength - left)
    this.position += this.taken.byteLength
    this.hasStopped = given < output.byteLength && left > 0
    return given === 0 && this.taken.byteLength === 0 ? null : output.subarray(0, given)
  }

  close(): void {
    this.#engine.close()
  }
}

/** To stop costs more than to decode a block that is smaller than this, on the average of so many. */
const SMALL_BLOCK_BYTES = 1024
const BLOCKS = 1000

/** Gzip, all its members, and zeros behind them, which fill up the blocks of tapes. */
export class GzipDecoder implements Decoder {
  readonly #decoder = new ZlibDecoder(createGunzip())
  #isPadded = false
  #given = 0
  #stops = 0
  /** False: the blocks are so small that to stop between them takes too long. */
  #mayStop = true

  get deflate(): DeflateProgress | null {
    const { hasStopped: isBetweenBlocks, position, taken } = this.#decoder
    return this.#mayStop ? { taken, position, isBetweenBlocks } : null
  }

  write(piece: Uint8Array): void {
    this.#decoder.write(piece)
  }

  read(room: Room): Uint8Array | null {
    const bytes = this.#isPadded ? null : this.#run(room)
    if (bytes !== null) return bytes
    const { rest } = this.#decoder
    this.#isPadded ||= rest.byteLength > 0
    if (rest.some((byte) => byte !== 0)) throw behind()
    return null
  }

  #run({ bytes: room, unwatched }: Room): Uint8Array | null {
    this.#mayStop = this.#stops < BLOCKS || this.#given > this.#stops * SMALL_BLOCK_BYTES
    const isWatched = this.#mayStop && unwatched === 0
    const bytes = isWatched
      ? this.#decoder.run(constants.Z_BLOCK, room)
      : this.#decoder.run(constants.Z_NO_FLUSH, this.#mayStop ? room.subarray(0, unwatched) : room)
    this.#given += bytes?.byteLength ?? 0
    if (this.#decoder.hasStopped) this.#stops += 1
    return bytes
  }

  end(): void {
    this.#decoder.write(NOTHING)
    if (!this.#isPadded) this.#decoder.run(constants.Z_FINISH, new Uint8Array(1)) // all content was read
  }

  close(): void {
    this.#decoder.close()
  }
}

const MARK = new TextEncoder().encode("the end of all frames")

/** Zstd, all its frames. */
export class ZstdDecoder implements Decoder {
  readonly deflate = null
  readonly #decoder = new ZlibDecoder(createZstdDecompress())

  write(piece: Uint8Array): void {
    this.#decoder.write(piece)
  }

  read({ bytes: room }: Room): Uint8Array | null {
    const bytes = this.#decoder.run(constants.ZSTD_e_continue, room)
    if (bytes === null && this.#decoder.rest.byteLength > 0) throw behind()
    return bytes
  }

  /** Whether the last frame is complete is not told. It is where another one is read as what it is. */
  end(): void {
    this.#decoder.write(Bun.zstdCompressSync(MARK))
    const bytes = this.#decoder.run(constants.ZSTD_e_continue, new Uint8Array(2 * MARK.length))
    if (bytes === null || MARK.length !== bytes.length || MARK.some((byte, at) => byte !== bytes[at]))
      throw new ArchiveError("its compressed data is cut off")
  }

  close(): void {
    this.#decoder.close()
  }
}

const behind = (): ArchiveError => new ArchiveError("there is something behind its compressed data")
