import type { Frame } from "../archive/frame.ts"
import { LayerEntries } from "../archive/layer-entries.ts"
import type { ScanBatch } from "../archive/scan-layer.ts"
import type { Spool } from "../blob/spool.ts"
import { release } from "../lib/sole-bytes.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { createHasher } from "../oci/digest.ts"
import { OCTET_STREAM } from "../oci/media-type.ts"
import type { LayerCopy } from "./layer-copy.ts"
import { type Pack, PackGone, type PackReader, readFrames, refersToLayer } from "./pack.ts"

/** Where a layer grows. */
export interface GrowingPlace {
  readonly pack: Spool
  /** Null: frames do not refer to it. */
  readonly layer: LayerCopy | null
}

/** A layer while it is scanned: what has come can be looked up and read at once. */
export class GrowingLayer implements Pack {
  readonly entries = new LayerEntries()
  readonly frames: Frame[] = []
  readonly #place: GrowingPlace
  readonly #hasher = createHasher()
  #size = 0
  #readers = 0
  #isOver = false

  constructor(place: GrowingPlace) {
    this.#place = place
  }

  /** Takes the layer as it is sent, each piece before what is found in it. Null: nobody has to. */
  get write(): LayerCopy["write"] {
    return this.#place.layer?.write ?? null
  }

  async take({ entries, frames, packed }: ScanBatch): Promise<void> {
    for (const bytes of packed) {
      await this.#place.pack.write(bytes)
      this.#hasher.update(bytes)
      this.#size += bytes.byteLength
      release(bytes.buffer)
    }
    this.frames.push(...frames)
    for (const entry of entries) this.entries.add(entry)
  }

  /** Rejects with PackGone once it has ended: then the contents are kept, or they are not there. */
  async open(): Promise<PackReader> {
    if (this.#isOver) throw new PackGone("The scan of a layer has ended")
    this.#readers += 1
    const close = async () => {
      this.#readers -= 1
      await this.#closeIfUnused()
    }
    return readFrames(this.frames, this.#place, close)
  }

  /** Keeps all contents. Gives the pack; the layer has its own name. Not to be called twice. */
  async keep(): Promise<Descriptor> {
    const { layer, pack } = this.#place
    const descriptor = { mediaType: OCTET_STREAM, digest: this.#hasher.digest(), size: this.#size }
    if (refersToLayer(this.frames)) await layer?.keep()
    await pack.keep(descriptor)
    return descriptor
  }

  /** Nothing more comes; who reads may finish what was begun. */
  async end(): Promise<void> {
    this.#isOver = true
    await this.#closeIfUnused()
  }

  async #closeIfUnused(): Promise<void> {
    if (!this.#isOver || this.#readers > 0) return
    await Promise.all([this.#place.pack.close(), this.#place.layer?.close()])
  }
}
