import type { Contribution, LayerRequest, LayerSource } from "../layer/layer.ts"
import type { Platform } from "../oci/platform.ts"
import type { Trust } from "../oci/reference.ts"

/** One source per kind of request. */
export type LayerSources = {
  readonly [Kind in LayerRequest["kind"]]: LayerSource<Extract<LayerRequest, { kind: Kind }>>
}

/** What a request gave, and who made the request. */
export interface Added extends Contribution {
  readonly trust: Trust
}

interface Asking {
  readonly trust: Trust
  readonly platform: Platform
  readonly signal: AbortSignal
}

/** Asks the source of each request, all at once. Null: one of them has nothing for this platform. */
export async function contributeAll(
  sources: LayerSources,
  requests: readonly LayerRequest[],
  { trust, platform, signal }: Asking,
): Promise<readonly Added[] | null> {
  const asked = requests.map((request) => contribute(sources, request, platform, signal))
  const contributions = await Promise.all(asked)
  const found = contributions.flatMap((contribution) => (contribution === null ? [] : [{ ...contribution, trust }]))
  return found.length === contributions.length ? found : null
}

function contribute<Kind extends LayerRequest["kind"]>(
  sources: LayerSources,
  request: Extract<LayerRequest, { kind: Kind }>,
  platform: Platform,
  signal: AbortSignal,
): Promise<Contribution | null> {
  const source: LayerSource<Extract<LayerRequest, { kind: Kind }>> = sources[request.kind as Kind]
  return source.contribute(request, platform, signal)
}
