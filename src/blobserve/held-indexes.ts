import type { LayerIndex } from "../archive/layer-index.ts"
import { RegistryError } from "../oci/error.ts"

/** What the indexes that requests hold take together, each counted once; those that only the cache has are not among them. */
export class HeldIndexes {
  readonly #limitBytes: number
  readonly #holders = new Map<LayerIndex, number>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /** Every hold needs one release. Throws, and holds nothing, when there is no room for it now. */
  hold(index: LayerIndex): void {
    const holders = this.#holders.get(index) ?? 0
    if (holders === 0 && this.#bytes > 0 && this.#bytes + index.byteLength > this.#limitBytes) {
      const message = `Cannot look into so many large images at the same time, try again`
      throw new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 1 })
    }
    if (holders === 0) this.#bytes += index.byteLength
    this.#holders.set(index, holders + 1)
  }

  release(index: LayerIndex): void {
    const holders = this.#holders.get(index) ?? 0
    if (holders > 1) this.#holders.set(index, holders - 1)
    else if (this.#holders.delete(index)) this.#bytes -= index.byteLength
  }
}
