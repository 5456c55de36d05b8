import type { StaticLayerConfig } from "../config/load.ts"
import { StaticLayers, type StaticLayersOptions } from "../facade/static-layers.ts"
import type { LayerRequest, PlacedRequest } from "../layer/layer.ts"
import { parseReference } from "../oci/reference.ts"
import type { Tools } from "./tools.ts"

type Beside = Pick<StaticLayersOptions, "earlier" | "platform" | "readiness" | "requests" | "sources">

/** The layers of the configuration. */
export function openStaticLayers(beside: Beside, { log, tuning }: Tools): StaticLayers {
  const { clock, random, staticLayers } = tuning
  const backoff = { ...staticLayers, random }
  const { staleMs } = staticLayers
  return new StaticLayers({ ...beside, backoff, staleMs, clock, log })
}

export const staticRequests = (layers: readonly StaticLayerConfig[]): readonly PlacedRequest[] =>
  layers.map((layer, index) => ({ ...staticRequest(layer), rule: `registry.staticLayer[${index}]` }))

function staticRequest({ type, ref, text }: StaticLayerConfig): LayerRequest {
  if (type === "file") return { kind: "file", path: ref, text }
  if (type === "dir") return { kind: "dir", path: ref, dest: "/", text }
  const reference = parseReference(ref)
  if (reference.kind === "scratch") throw new Error("Cannot add the empty image as a static layer")
  return { kind: "image", reference, text }
}
