import { TAR_BLOCK } from "../oci/tar.ts"
import { ArchiveError } from "./archive-error.ts"
import { checkGlobalPax, parsePax } from "./pax.ts"
import { isZeroBlock, parseHeader, type TarHeader, untilNul } from "./tar-header.ts"
import { type Extensions, type TarMember, toMember } from "./tar-member.ts"

export interface TarSink {
  /** `offset` is where its content begins in the archive. */
  member(member: TarMember, offset: number): void
  /** Content of the last member, in pieces. The bytes are only lent. */
  content(bytes: Uint8Array): void
  /** All content of the last member has come. */
  memberEnd(): void
}

/** What is read next. `zero` is the second block of zeros, after which nothing counts any more. */
type State = "header" | "extension" | "content" | "padding" | "zero" | "over"

const MAX_EXTENSION_BYTES = 1024 * 1024
const NONE: Extensions = { pax: null, longName: null, longLink: null }

/**
 * Reads an archive as it streams. It refuses, with ArchiveError, whatever GNU tar, Python's tarfile and Go's archive/tar
 * do not read alike: an archive that means one thing to a scanner and another to a runtime is an attack.
 */
export class TarReader {
  readonly #sink: TarSink
  readonly #block = new Uint8Array(TAR_BLOCK)
  #filled = 0
  /** How much of the archive was read. */
  #position = 0
  #state: State = "header"
  /** Bytes of the current state that are still to come. */
  #left = 0
  #padding = 0
  #flag = ""
  #parts: Uint8Array[] = []
  #extensions = NONE
  #isEmpty = true

  constructor(sink: TarSink) {
    this.#sink = sink
  }

  /** Throws ArchiveError. */
  update(bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.byteLength && this.#state !== "over"; ) {
      offset += this.#take(bytes.subarray(offset))
    }
  }

  /** True after its end: what follows does not count. */
  get isOver(): boolean {
    return this.#state === "over"
  }

  /** Throws ArchiveError when the archive ends where it must not. */
  end(): void {
    const isBetween = this.#state === "header" && this.#filled === 0 && this.#extensions === NONE
    if (this.#state === "over" || (this.#state === "zero" && this.#filled === 0)) return
    if (!isBetween) throw new ArchiveError("the archive is cut off")
    if (this.#isEmpty) throw new ArchiveError("it is no tar archive")
  }

  /** Gives how many bytes were used, at least one. */
  #take(bytes: Uint8Array): number {
    if (this.#state === "header" || this.#state === "zero") return this.#fill(bytes)
    const piece = bytes.subarray(0, this.#left)
    this.#position += piece.byteLength
    if (this.#state === "content") this.#sink.content(piece)
    if (this.#state === "extension") this.#parts.push(piece.slice())
    this.#left -= piece.byteLength
    if (this.#left === 0) this.#next()
    return piece.byteLength
  }

  #fill(bytes: Uint8Array): number {
    const piece = bytes.subarray(0, TAR_BLOCK - this.#filled)
    this.#block.set(piece, this.#filled)
    this.#filled += piece.byteLength
    this.#position += piece.byteLength
    if (this.#filled === TAR_BLOCK) {
      this.#filled = 0
      this.#readBlock()
    }
    return piece.byteLength
  }

  #readBlock(): void {
    this.#isEmpty = false
    if (isZeroBlock(this.#block)) {
      if (this.#extensions !== NONE) throw new ArchiveError("an extended header has no entry")
      this.#state = this.#state === "zero" ? "over" : "zero"
      return
    }
    if (this.#state === "zero") throw new ArchiveError("there is something between the blocks that end the archive")
    const header = parseHeader(this.#block)
    if (isExtension(header.flag)) this.#beginExtension(header)
    else this.#beginMember(header)
  }

  #beginExtension({ flag, size }: TarHeader): void {
    if (size > MAX_EXTENSION_BYTES)
      throw new ArchiveError(`an extended header has more than ${MAX_EXTENSION_BYTES} bytes`)
    if (flag === "g" && this.#extensions !== NONE)
      throw new ArchiveError("a global header stands between an extended header and its entry")
    this.#flag = flag
    this.#parts = []
    this.#begin("extension", size)
  }

  #beginMember(header: TarHeader): void {
    const member = toMember(header, this.#extensions)
    this.#extensions = NONE
    this.#sink.member(member, this.#position)
    this.#begin("content", member.size)
  }

  #begin(state: "extension" | "content", size: number): void {
    this.#state = state
    this.#left = size
    this.#padding = (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK
    if (size === 0) this.#next()
  }

  /** After the last byte of something. */
  #next(): void {
    if (this.#state === "content") this.#sink.memberEnd()
    if (this.#state === "extension") this.#endExtension()
    const isPadded = this.#state === "padding" || this.#padding === 0
    this.#state = isPadded ? "header" : "padding"
    this.#left = isPadded ? 0 : this.#padding
  }

  #endExtension(): void {
    const bytes = Buffer.concat(this.#parts)
    this.#parts = []
    if (this.#flag === "g") checkGlobalPax(bytes)
    else this.#extend(extensionOf(this.#flag, bytes))
  }

  #extend(added: Partial<Extensions>): void {
    const isTwice = Object.entries(added).some(
      ([key, value]) => value !== null && this.#extensions[key as keyof Extensions] !== null,
    )
    if (isTwice) throw new ArchiveError("an entry has two extended headers of one kind")
    this.#extensions = { ...this.#extensions, ...added }
  }
}

const isExtension = (flag: string): boolean => flag === "x" || flag === "g" || flag === "L" || flag === "K"

function extensionOf(flag: string, bytes: Uint8Array): Partial<Extensions> {
  if (flag === "x") return { pax: parsePax(bytes) }
  const written = Buffer.from(bytes).toString("latin1")
  const text = untilNul(written)
  // Without the NUL, some readers go on reading in the padding
  if (text === "" || text === written) throw new ArchiveError("a long name has no end")
  return flag === "L" ? { longName: text } : { longLink: text }
}
