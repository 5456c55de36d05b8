/** Decodes what comes piece by piece, no further than it is read. Throws ArchiveError for what is damaged. */
export interface Decoder {
  /** The next piece; all that the one before gives has been read. */
  write(piece: Uint8Array): void
  /**
   * The next bytes, lent as the memory is that they are in, of `room` or of the piece; there may be none of them. Null:
   * there are no more before another piece.
   */
  read(room: Room): Uint8Array | null
  /** How the last `read` got on; null where the content is not in blocks of deflate. */
  readonly deflate: DeflateProgress | null
  /** Throws when the last piece was not the end. */
  end(): void
  close(): void
}

/** Where content is to be decoded to. */
export interface Room {
  /** At least one byte. */
  readonly bytes: Uint8Array
  /** So many of them may be filled without a stop where blocks end. 0: it stops after each. */
  readonly unwatched: number
}

export interface DeflateProgress {
  /** What was used of the last piece. */
  readonly taken: Uint8Array
  /** How much of all pieces together is used. */
  readonly position: number
  /** True where it has stopped after the last bit of a block (RFC 1951, 3.2.3), or of the header of a member of gzip. */
  readonly isBetweenBlocks: boolean
}

/** For what is not compressed. */
export class PlainDecoder implements Decoder {
  readonly deflate = null
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
