import { openAt } from "../../src/blob/blob.ts"
import type { Contribution, Layer } from "../../src/layer/layer.ts"
import { readBytes } from "../../src/lib/stream.ts"

export const never = new AbortController().signal
export const AMD64 = { os: "linux", architecture: "amd64" } as const

export function onlyLayer(contribution: Contribution | null): Layer {
  const [layer, ...others] = contribution?.layers ?? []
  if (layer === undefined || others.length > 0) throw new Error("This is not exactly one layer")
  return layer
}

/** What the layer's own source gives, from `offset`. Null: it has nothing any more. */
export async function fromSource({ descriptor, sources }: Layer, offset = 0): Promise<Uint8Array | null> {
  const blob = await sources[0]?.find(descriptor, never)
  if (blob === null || blob === undefined) return null
  return await readBytes(await openAt(blob, offset, never), 100 * 1024 * 1024)
}
