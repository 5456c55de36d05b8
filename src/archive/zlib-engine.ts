import { ArchiveError } from "./archive-error.ts"

/**
 * What node's streams of zlib and zstd do their work with, and Bun's too. The streams allocate as much memory as they
 * give bytes, which collecting does not keep up with, and take a third more time; and only here it can be told that zlib
 * is to stop between blocks. This is not in node's documentation: tests tell when another version of Bun, which is a part
 * of the program, has it no more.
 */
interface Handle {
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
  reset(): void
  close(): void
}

interface EngineStream {
  readonly _handle: Handle
  /** After a write: bytes of output that are free, bytes of input that are left. */
  readonly _writeState: Uint32Array
}

const NOTHING = new Uint8Array(0)

/** The inside of a stream of zlib or zstd, which is driven by hand. */
export class ZlibEngine {
  readonly #handle: Handle
  readonly #state: Uint32Array
  #input: Uint8Array = NOTHING
  #used = 0
  #failure: string | null = null

  constructor(stream: unknown) {
    const { _handle, _writeState } = stream as EngineStream
    this.#handle = _handle
    this.#state = _writeState
    this.#handle.onerror = (message) => {
      this.#failure = message
    }
  }

  write(input: Uint8Array): void {
    this.#input = input
    this.#used = 0
  }

  /** How much of the input was used. */
  get used(): number {
    return this.#used
  }

  /** What is not used of the input. */
  get rest(): Uint8Array {
    return this.#input.subarray(this.#used)
  }

  /** Gives how many bytes were written to `output`. Throws ArchiveError. */
  run(flush: number, output: Uint8Array, offset = 0): number {
    const available = this.#input.byteLength - this.#used
    this.#handle.writeSync(flush, this.#input, this.#used, available, output, offset, output.byteLength - offset)
    if (this.#failure !== null) throw new ArchiveError(`its compressed data is damaged: ${this.#failure}`)
    const [free = 0, left = 0] = this.#state
    this.#used += available - left
    return output.byteLength - offset - free
  }

  /** Begins another stream of the same kind. */
  reset(): void {
    this.#handle.reset()
    this.#failure = null
    this.write(NOTHING)
  }

  close(): void {
    this.#handle.close()
  }
}
