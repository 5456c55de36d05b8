import { LRUCache } from "lru-cache"
import type { BlobSource } from "../blob/blob.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import { digestOf } from "../oci/digest.ts"
import { HeldContent } from "./held-content.ts"
import { importLayer, layerDescriptor, layerFault, type Workshop } from "./import-layer.ts"
import type { LayerFacts } from "./inspect.ts"
import type { Contribution, LayerRequest, LayerSource } from "./layer.ts"

type DirectRequest = Extract<LayerRequest, { kind: "direct" }>

/** An archive whose bytes stand in the spec. They go into the store, and only few stay in memory. */
export class DirectLayerSource implements LayerSource<DirectRequest> {
  readonly kind = "direct"
  readonly #workshop: Workshop
  readonly #held: HeldContent<Uint8Array<ArrayBuffer>>
  readonly #known = new LRUCache<string, LayerFacts>({ max: 1000 })
  readonly #importing = new SingleFlight<string, LayerFacts>()

  constructor(workshop: Workshop, held = new HeldContent<Uint8Array<ArrayBuffer>>()) {
    this.#workshop = workshop
    this.#held = held
  }

  async contribute({ content, text }: DirectRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    try {
      const key = digestOf(content)
      const read = (flight: AbortSignal) => importLayer(this.#workshop.openSpool, new Blob([content]).stream(), flight)
      const facts = this.#known.get(key) ?? (await this.#importing.run(key, read, signal))
      this.#known.set(key, facts)
      this.#held.hold(key, content, content.byteLength)
      const layer = {
        descriptor: layerDescriptor(facts),
        diffID: facts.diffID,
        createdBy: `registry-facade: ${text}`,
        sources: [this.#source(key, text)],
        from: null,
      }
      return { layers: [layer], env: [], isCurrent: () => this.#held.has(key) }
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(text, error)
    }
  }

  #source(key: string, origin: string): BlobSource {
    const find: BlobSource["find"] = async (descriptor) => {
      const bytes = this.#held.get(key)
      return bytes === null ? null : { kind: "bytes", descriptor, bytes }
    }
    return { name: "content", origin, find }
  }
}
