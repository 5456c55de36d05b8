import type { LayerIndex } from "../archive/layer-index.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import type { LayerSource } from "./layer-source.ts"
import type { Layers } from "./layers.ts"
import type { LayerStack } from "./merged-view.ts"
import type { OpenLayer } from "./open-layer.ts"

export interface OpenStackOptions {
  readonly image: Digest
  /** The uppermost first. */
  readonly sources: readonly LayerSource[]
  readonly layers: Layers
}

/** Layers that are opened before those above them are read, where all of them are wanted. */
const AHEAD = 2

/** The layers of one image, as far as one request has needed them. */
export class OpenStack {
  readonly #options: OpenStackOptions
  readonly #open: (OpenLayer | null)[]
  readonly #held = new Set<LayerIndex>()
  /** The lowest that was needed. */
  #lowest = -1

  constructor(options: OpenStackOptions) {
    const { layers, sources } = options
    this.#options = options
    let bytes = 0
    this.#open = sources.map((source) => {
      const layer = layers.find(source)
      if (layer?.isVerified !== true) return null
      bytes += layer.index?.byteLength ?? 0
      return bytes > layers.indexLimitBytes ? null : layer
    })
  }

  /** Throws why a layer cannot be read, or why there are too many. */
  trees(): LayerStack {
    this.#hold()
    return this.#open.map((layer) => layer?.tree ?? null)
  }

  /** Throws when its index is known to be too large beside those above it. */
  open(at: number): OpenLayer {
    const { layers, sources } = this.#options
    const source = sources[at]
    if (source === undefined) throw new Error("A path is in a layer that the image does not have")
    this.#lowest = Math.max(this.#lowest, at)
    const open = this.#open[at]
    if (open !== null && open !== undefined) return open
    this.#check(this.#bytesAbove(at) + layers.indexBytes(source), at + 1)
    const layer = layers.open(source)
    this.#open[at] = layer
    return layer
  }

  /** Resolves when more is known of a layer than the latest `trees` told: at once for one that others have opened before. */
  async more(at: number, signal: AbortSignal): Promise<void> {
    const wasOpen = (this.#open[at] ?? null) !== null
    const layer = this.open(at)
    if (wasOpen) await layer.changed(signal)
  }

  /** Reads all layers. Gives their indexes, the lowest first. Rejects as the first that cannot be read. */
  async complete(signal: AbortSignal): Promise<readonly LayerIndex[]> {
    const indexes: LayerIndex[] = []
    for (const at of this.#options.sources.keys()) {
      for (let next = at; next < Math.min(at + AHEAD, this.#open.length); next += 1) this.open(next)
      const layer = this.open(at)
      while (layer.index === null) await layer.changed(signal)
      indexes.push(layer.index)
      this.#hold()
    }
    return indexes.toReversed()
  }

  /** Its contents are gone. */
  forget(at: number): void {
    this.#options.layers.forget(this.open(at))
    this.#open[at] = null
  }

  /** Nothing more is asked of it. */
  close(): void {
    for (const index of this.#held) this.#options.layers.held.release(index)
    this.#held.clear()
  }

  #hold(): void {
    const { held, indexLimitBytes } = this.#options.layers
    if (this.#bytesAbove(this.#open.length) > indexLimitBytes) this.#open.fill(null, this.#lowest + 1)
    this.#check(this.#bytesAbove(this.#open.length), this.#lowest + 1)
    for (const layer of this.#open) {
      const index = layer?.index ?? null
      if (index === null || this.#held.has(index)) continue
      held.hold(index)
      this.#held.add(index)
    }
  }

  #bytesAbove(at: number): number {
    return this.#open.slice(0, at).reduce((sum, layer) => sum + (layer?.index?.byteLength ?? 0), 0)
  }

  #check(bytes: number, count: number): void {
    const { image, layers, sources } = this.#options
    if (bytes <= layers.indexLimitBytes) return
    const reason = `the indexes of ${count} of its ${sources.length} layers take ${bytes} bytes, more than ${layers.indexLimitBytes}`
    throw new RegistryError("MANIFEST_INVALID", `Cannot serve files of image ${image}: ${reason}`, { status: 502 })
  }
}
