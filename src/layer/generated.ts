import type { BlobSource } from "../blob/blob.ts"
import { sliceStream } from "../lib/stream.ts"
import { layerDescriptor } from "./import-layer.ts"
import type { LayerFacts } from "./inspect.ts"
import type { Contribution } from "./layer.ts"

export interface GeneratedLayer {
  readonly facts: LayerFacts
  /** How it was asked for. */
  readonly text: string
  /** Makes the same bytes again, for stores that could not keep them. Rejects when it cannot. */
  readonly generate: () => Promise<ReadableStream<Uint8Array>>
  readonly isCurrent: () => boolean
}

/** The one layer that was made from something here. */
export function generatedLayer({ facts, text, generate, isCurrent }: GeneratedLayer): Contribution {
  const source: BlobSource = {
    name: "static",
    origin: text,
    find: async (descriptor) => ({
      kind: "stream",
      descriptor,
      open: async ({ start, end }) => sliceStream(await generate(), start, end - start),
    }),
  }
  const layer = {
    descriptor: layerDescriptor(facts),
    diffID: facts.diffID,
    createdBy: `registry-facade: ${text}`,
    sources: [source],
    from: null,
  }
  return { layers: [layer], env: [], isCurrent }
}
