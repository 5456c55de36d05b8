import type { Contribution, LayerRequest, LayerSource, PlacedRequest } from "../layer/layer.ts"
import type { Platform } from "../oci/platform.ts"
import type { Trust } from "../oci/reference.ts"

/** One source per kind of request. */
export type LayerSources = {
  readonly [Kind in LayerRequest["kind"]]: LayerSource<Extract<LayerRequest, { kind: Kind }>>
}

/** What a request gave, and who made the request where. */
export interface Added extends Contribution {
  readonly trust: Trust
  readonly rule: string
}

interface Asking {
  readonly trust: Trust
  readonly platform: Platform
  readonly signal: AbortSignal
}

/** Asks the source of each request, all at once. Null: one of them has nothing for this platform. */
export async function contributeAll(
  sources: LayerSources,
  requests: readonly PlacedRequest[],
  { trust, platform, signal }: Asking,
): Promise<readonly Added[] | null> {
  const contributions = await Promise.all(
    requests.map(async (request) => {
      const contribution = await contribute(sources, request, platform, signal)
      return contribution === null ? null : { ...contribution, trust, rule: request.rule }
    }),
  )
  const found = contributions.filter((contribution) => contribution !== null)
  return found.length === contributions.length ? found : null
}

/** Asks the source of one request. */
export function contribute<Kind extends LayerRequest["kind"]>(
  sources: LayerSources,
  request: Extract<LayerRequest, { kind: Kind }>,
  platform: Platform,
  signal: AbortSignal,
): Promise<Contribution | null> {
  const source: LayerSource<Extract<LayerRequest, { kind: Kind }>> = sources[request.kind as Kind]
  return source.contribute(request, platform, signal)
}
