import type { Descriptor } from "../oci/descriptor.ts"
import type { DiffID } from "../oci/digest.ts"
import { formatPlatform } from "../oci/platform.ts"
import type { ComposedPlatform, Composition } from "./composer.ts"

/** How a layer came into an image. */
export interface LayerOrigin {
  /** What asked for it, e.g. `spec.baseRef`, `registry.staticLayer[0]`. */
  readonly rule: string
  /** What it was made of, e.g. `base`, `image ghcr.io/acme/agent:1`. */
  readonly from: string
  readonly descriptor: Descriptor
  /** Null for layers of the base, whose config has it. */
  readonly diffID: DiffID | null
  /** Where its bytes are, best place first. */
  readonly sources: readonly string[]
}

/** The layers of an image in their order. */
export function explainLayers({ baseLayers, contributions }: ComposedPlatform): readonly LayerOrigin[] {
  const base = baseLayers.map(({ descriptor, sources }) => ({
    rule: "spec.baseRef",
    from: "base",
    descriptor,
    diffID: null,
    sources: sources.map(({ origin }) => origin),
  }))
  const added = contributions.flatMap(({ layers, rule }) =>
    layers.map(({ createdBy, descriptor, diffID, sources }) => ({
      rule,
      from: createdBy.replace(/^registry-facade: /, ""),
      descriptor,
      diffID,
      sources: sources.map(({ origin }) => origin),
    })),
  )
  return [...base, ...added]
}

/** The same for a line of the log. */
export function explainComposition({ root, platforms }: Composition) {
  return {
    root: root.descriptor.digest,
    platforms: platforms.map((platform) => ({
      platform: formatPlatform(platform.platform),
      manifest: platform.manifest.descriptor.digest,
      layers: explainLayers(platform).map(({ rule, from, descriptor, sources }) => ({
        rule,
        from,
        sources,
        digest: descriptor.digest,
        size: descriptor.size,
      })),
    })),
  }
}
