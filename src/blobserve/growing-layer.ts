import type { Frame } from "../archive/frame.ts"
import { LayerEntries } from "../archive/layer-entries.ts"
import type { ScanBatch } from "../archive/scan-layer.ts"
import type { Spool } from "../blob/spool.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { createHasher } from "../oci/digest.ts"
import { OCTET_STREAM } from "../oci/media-type.ts"
import { type Pack, PackGone, type PackReader, readFrames } from "./pack.ts"

/** A layer while it is scanned: what has come can be looked up and read at once. */
export class GrowingLayer implements Pack {
  readonly entries = new LayerEntries()
  readonly frames: Frame[] = []
  readonly #spool: Spool
  readonly #hasher = createHasher()
  #size = 0
  #readers = 0
  #isOver = false

  constructor(spool: Spool) {
    this.#spool = spool
  }

  async take({ entries, frames, packed }: ScanBatch): Promise<void> {
    for (const bytes of packed) {
      await this.#spool.write(bytes)
      this.#hasher.update(bytes)
      this.#size += bytes.byteLength
      bytes.buffer.transfer(0) // given back now, not when the collector finds it
    }
    this.frames.push(...frames)
    for (const entry of entries) this.entries.add(entry)
  }

  /** Rejects with PackGone once it has ended: then the contents are kept, or they are not there. */
  async open(): Promise<PackReader> {
    if (this.#isOver) throw new PackGone("The scan of a layer has ended")
    this.#readers += 1
    const read = (offset: number, length: number) => this.#spool.read(offset, length)
    const close = async () => {
      this.#readers -= 1
      await this.#closeIfUnused()
    }
    return readFrames(this.frames, { read, close })
  }

  /** Keeps the pack under its digest. Not to be called twice. */
  async keep(): Promise<Descriptor> {
    const descriptor = { mediaType: OCTET_STREAM, digest: this.#hasher.digest(), size: this.#size }
    await this.#spool.keep(descriptor)
    return descriptor
  }

  /** Nothing more comes; who reads may finish what was begun. */
  async end(): Promise<void> {
    this.#isOver = true
    await this.#closeIfUnused()
  }

  async #closeIfUnused(): Promise<void> {
    if (this.#isOver && this.#readers === 0) await this.#spool.close()
  }
}
