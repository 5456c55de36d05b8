/** Decodes what comes piece by piece, no further than it is read. Throws ArchiveError for what is damaged. */
export interface Decoder {
  /** The next piece; all that the one before gives has been read. */
  write(piece: Uint8Array): void
  /** The next bytes, lent until the next call. Null: there are no more before another piece. */
  read(): Uint8Array | null
  /** Throws when the last piece was not the end. */
  end(): void
  close(): void
}

/** For what is not compressed. */
export class PlainDecoder implements Decoder {
  #piece: Uint8Array | null = null

  write(piece: Uint8Array): void {
    this.#piece = piece
  }

  read(): Uint8Array | null {
    const piece = this.#piece
    this.#piece = null
    return piece
  }

  end(): void {}

  close(): void {}
}
