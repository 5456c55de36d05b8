import { TAR_BLOCK, tarChecksums } from "../oci/tar.ts"

const CHECKSUM_OFFSET = 148
const SIZE_OFFSET = 124
const TYPE_OFFSET = 156
/** Entry types whose size field counts content (POSIX.1-2017, pax: "ustar Interchange Format"). */
const WITH_CONTENT = new Set(["0", "\0", "7", "x", "g", "L", "K", "X", "A", "D", "M", "N", "V"])

/**
 * Follows the headers of an archive as it passes, to tell what is no tar, and what is cut off, before a client does.
 * It gives up, and accepts, where an archive uses what only a full reader understands (sparse files, pax sizes).
 */
export class TarCheck {
  readonly #block = new Uint8Array(TAR_BLOCK)
  #filled = 0
  #skip = 0
  #entries = 0
  #isOver = false
  #isLost = false
  #isPax = false

  /** Throws TypeError at the first header that is none. */
  update(bytes: Uint8Array): void {
    let offset = 0
    while (offset < bytes.byteLength && !this.#isOver && !this.#isLost) {
      const jump = Math.min(this.#skip, bytes.byteLength - offset)
      this.#skip -= jump
      offset += jump
      if (this.#skip === 0) offset += this.#fill(bytes.subarray(offset))
    }
  }

  /** Throws TypeError when the archive ends in the middle of an entry. */
  end(): void {
    if (this.#isLost || this.#isOver) return
    if (this.#entries === 0) throw new TypeError("it is no tar archive")
    if (this.#skip > 0 || this.#filled > 0) throw new TypeError(`the archive is cut off after entry ${this.#entries}`)
  }

  #fill(bytes: Uint8Array): number {
    const taken = bytes.subarray(0, TAR_BLOCK - this.#filled)
    this.#block.set(taken, this.#filled)
    this.#filled += taken.byteLength
    if (this.#filled < TAR_BLOCK) return taken.byteLength
    this.#filled = 0
    this.#header()
    return taken.byteLength
  }

  #header(): void {
    if (this.#isPax) {
      this.#pax()
      return
    }
    if (this.#block.every((byte) => byte === 0)) {
      this.#isOver = this.#entries > 0
      this.#isLost = !this.#isOver // an empty archive, or zeros: nothing to follow
      return
    }
    if (!hasChecksum(this.#block)) throw new TypeError(this.#fault())
    this.#entries += 1
    const type = String.fromCharCode(this.#block[TYPE_OFFSET] ?? 0)
    const size = octal(this.#block.subarray(SIZE_OFFSET, SIZE_OFFSET + 12))
    this.#isPax = (type === "x" || type === "g") && size !== null && size > 0
    if (type === "S" || size === null || (this.#isPax && size > TAR_BLOCK)) this.#isLost = true
    else if (WITH_CONTENT.has(type) && !this.#isPax) this.#skip = Math.ceil(size / TAR_BLOCK) * TAR_BLOCK
  }

  /** The content of a pax header, which may give the next entry a size that its own header cannot hold. */
  #pax(): void {
    this.#isPax = false
    if (/\d+ size=/.test(new TextDecoder("latin1").decode(this.#block))) this.#isLost = true
  }

  #fault(): string {
    return this.#entries === 0 ? "it is no tar archive" : `the archive is damaged after entry ${this.#entries}`
  }
}

function hasChecksum(block: Uint8Array): boolean {
  const stored = octal(block.subarray(CHECKSUM_OFFSET, CHECKSUM_OFFSET + 8))
  return stored !== null && tarChecksums(block).includes(stored)
}

/** Null: not octal digits, such as the base-256 form of large sizes. */
function octal(field: Uint8Array): number | null {
  const text = new TextDecoder("latin1")
    .decode(field)
    .replace(/[\0 ]+$/, "")
    .replace(/^[\0 ]+/, "")
  if (text === "") return 0
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : null
}
