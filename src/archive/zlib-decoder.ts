import { constants, createGunzip, createZstdDecompress } from "node:zlib"
import { ArchiveError } from "./archive-error.ts"
import type { Decoder } from "./decoder.ts"

/**
 * What node's streams of zlib and zstd do their work with, and Bun's too. The streams allocate as much memory as they
 * give bytes, which collecting does not keep up with, and take a third more time. This is not in node's documentation:
 * tests tell when another version of Bun, which is a part of the program, has it no more.
 */
interface Engine {
  onerror: (message: string) => void
  writeSync(
    flush: number,
    input: Uint8Array | null,
    inputOffset: number,
    inputBytes: number,
    output: Uint8Array,
    outputOffset: number,
    outputBytes: number,
  ): void
  close(): void
}

interface EngineStream {
  readonly _handle: Engine
  /** After a write: bytes of output that are free, bytes of input that are left. */
  readonly _writeState: Uint32Array
}

const OUTPUT_BYTES = 128 * 1024
const NOTHING = new Uint8Array(0)

/** Decodes into memory that is used again. */
class ZlibDecoder {
  readonly #engine: Engine
  readonly #state: Uint32Array
  readonly #output = new Uint8Array(OUTPUT_BYTES)
  #input: Uint8Array = NOTHING
  #used = 0
  #failure: string | null = null

  constructor(stream: unknown) {
    const { _handle, _writeState } = stream as EngineStream
    this.#engine = _handle
    this.#state = _writeState
    this.#engine.onerror = (message) => {
      this.#failure = message
    }
  }

  write(piece: Uint8Array): void {
    this.#input = piece
    this.#used = 0
  }

  /** What is not used of the last piece. */
  get rest(): Uint8Array {
    return this.#input.subarray(this.#used)
  }

  /** Null: it takes no more of the last piece. */
  run(flush: number): Uint8Array | null {
    const available = this.#input.byteLength - this.#used
    this.#engine.writeSync(flush, this.#input, this.#used, available, this.#output, 0, OUTPUT_BYTES)
    if (this.#failure !== null) throw new ArchiveError(`its compressed data is damaged: ${this.#failure}`)
    const [free = 0, left = 0] = this.#state
    this.#used += available - left
    return free === OUTPUT_BYTES ? null : this.#output.subarray(0, OUTPUT_BYTES - free)
  }

  close(): void {
    this.#engine.close()
  }
}

/** Gzip, all its members, and zeros behind them, which fill up the blocks of tapes. */
export class GzipDecoder implements Decoder {
  readonly #decoder = new ZlibDecoder(createGunzip())
  #isPadded = false

  write(piece: Uint8Array): void {
    this.#decoder.write(piece)
  }

  read(): Uint8Array | null {
    const bytes = this.#isPadded ? null : this.#decoder.run(constants.Z_NO_FLUSH)
    if (bytes !== null) return bytes
    const { rest } = this.#decoder
    this.#isPadded ||= rest.byteLength > 0
    if (rest.some((byte) => byte !== 0)) throw behind()
    return null
  }

  end(): void {
    this.#decoder.write(NOTHING)
    if (!this.#isPadded) this.#decoder.run(constants.Z_FINISH)
  }

  close(): void {
    this.#decoder.close()
  }
}

const MARK = new TextEncoder().encode("the end of all frames")

/** Zstd, all its frames. */
export class ZstdDecoder implements Decoder {
  readonly #decoder = new ZlibDecoder(createZstdDecompress())

  write(piece: Uint8Array): void {
    this.#decoder.write(piece)
  }

  read(): Uint8Array | null {
    const bytes = this.#decoder.run(constants.ZSTD_e_continue)
    if (bytes === null && this.#decoder.rest.byteLength > 0) throw behind()
    return bytes
  }

  /** Whether the last frame is complete is not told. It is where another one is read as what it is. */
  end(): void {
    this.#decoder.write(Bun.zstdCompressSync(MARK))
    const bytes = this.#decoder.run(constants.ZSTD_e_continue)
    if (bytes === null || MARK.length !== bytes.length || MARK.some((byte, at) => byte !== bytes[at]))
      throw new ArchiveError("its compressed data is cut off")
  }

  close(): void {
    this.#decoder.close()
  }
}

const behind = (): ArchiveError => new ArchiveError("there is something behind its compressed data")
