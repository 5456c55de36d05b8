import { LRUCache } from "lru-cache"
import type { BlobSource } from "../blob/blob.ts"
import { digestOf } from "../oci/digest.ts"
import { layerDescriptor, layerFault } from "./import-layer.ts"
import { inspectLayer, type LayerFacts } from "./inspect.ts"
import type { Contribution, LayerRequest, LayerSource } from "./layer.ts"

type DirectRequest = Extract<LayerRequest, { kind: "direct" }>

/** An archive whose bytes stand in the spec. */
export class DirectLayerSource implements LayerSource<DirectRequest> {
  readonly kind = "direct"
  readonly #known = new LRUCache<string, LayerFacts>({ max: 1000 })

  async contribute({ content, text }: DirectRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    try {
      const key = digestOf(content)
      const facts = this.#known.get(key) ?? (await inspectLayer(new Blob([content]).stream(), async () => {}))
      this.#known.set(key, facts)
      const descriptor = layerDescriptor(facts)
      const source: BlobSource = {
        name: "content",
        origin: text,
        find: async () => ({ kind: "bytes", descriptor, bytes: content }),
      }
      return {
        layers: [
          { descriptor, diffID: facts.diffID, createdBy: `registry-facade: ${text}`, sources: [source], from: null },
        ],
        env: [],
        isCurrent: () => true,
      }
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(text, error)
    }
  }
}
