import type { Contribution, LayerRequest, LayerSource } from "../layer/layer.ts"
import type { Clock } from "../lib/clock.ts"
import { formatPlatform } from "../oci/platform.ts"
import type { LayerSources } from "./contribute.ts"

export interface LastingOptions {
  readonly clock: Clock
  /** How long a layer that can no longer be had is used as it was, before it is asked for again. */
  readonly staleMs: number
  /** Told at every answer; null: the layer could be had. */
  readonly onAnswer: (request: LayerRequest, error: unknown) => void
  /** What each request gave last, by platform. */
  readonly latest: Latest
}

export type Latest = Map<string, Map<string, Contribution>>

/** Under which a request is found in what was given last. */
export const latestKey = ({ kind, text }: LayerRequest): string => `${kind} ${text}`

/** Sources whose layers, once they could be had, are given as they were when they no longer can. */
export function lastingLayers(sources: LayerSources, options: LastingOptions): LayerSources {
  return {
    file: lasting(sources.file, options),
    dir: lasting(sources.dir, options),
    files: lasting(sources.files, options),
    image: lasting(sources.image, options),
    url: lasting(sources.url, options),
    direct: lasting(sources.direct, options),
  }
}

function lasting<Request extends LayerRequest>(
  source: LayerSource<Request>,
  { clock, latest, staleMs, onAnswer }: LastingOptions,
): LayerSource<Request> {
  return {
    kind: source.kind,
    contribute: async (request, platform, signal) => {
      const known = latest.get(latestKey(request)) ?? new Map<string, Contribution>()
      latest.set(latestKey(request), known)
      try {
        const contribution = await source.contribute(request, platform, signal)
        if (contribution !== null) known.set(formatPlatform(platform), contribution)
        onAnswer(request, null)
        return contribution
      } catch (error) {
        signal.throwIfAborted()
        const before = known.get(formatPlatform(platform))
        if (before === undefined) throw error
        onAnswer(request, error)
        const until = clock.now() + staleMs
        return { ...before, isCurrent: () => clock.now() < until }
      }
    },
  }
}
