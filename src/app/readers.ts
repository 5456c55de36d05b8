import type { Downloads } from "../blob/downloads.ts"
import type { RegistryConfig } from "../config/load.ts"
import type { Egress } from "../egress/egress.ts"
import { CachedImages } from "../facade/cached-images.ts"
import type { LayerSources } from "../facade/contribute.ts"
import { ImageLayerSource } from "../layer/image.ts"
import { UrlLayerSource } from "../layer/url.ts"
import type { Trust } from "../oci/reference.ts"
import type { DiskStore } from "../store/disk.ts"
import { allowUpstreams } from "../upstream/policy.ts"
import type { ImageReader, Upstream } from "../upstream/upstream.ts"
import type { KnownHosts } from "./known-hosts.ts"
import { buildUpstream } from "./outside.ts"
import type { Secrets } from "./secrets.ts"
import type { Sharing } from "./sharing.ts"
import type { Tools } from "./tools.ts"

export interface Readers {
  readonly readers: Readonly<Record<Trust, ImageReader>>
  readonly upstreams: Readonly<Record<Trust, Upstream>>
  /** The layers that come from elsewhere. */
  readonly fetched: Readonly<Record<Trust, Pick<LayerSources, "image" | "url">>>
}

interface Means {
  readonly store: DiskStore
  readonly sharing: Sharing
  readonly downloads: Downloads
  readonly egress: Readonly<Record<Trust, Egress>>
  readonly keychain: Secrets["keychain"]
  readonly hosts: KnownHosts
  /** The configuration in use. */
  readonly settings: () => RegistryConfig
}

/** Everything that reads from elsewhere, for specs of operators and, with less reach, for those of others. */
export function buildReaders(
  config: RegistryConfig,
  { store, sharing, downloads, egress, hosts, keychain, settings }: Means,
  tools: Tools,
): Readers {
  const upstreamOf = (trust: Trust) =>
    buildUpstream(config, { egress: egress[trust], keychain, memory: hosts.access[trust] }, tools)
  const upstreams = { operator: upstreamOf("operator"), remote: upstreamOf("remote") }
  const read = (trust: Trust) =>
    new CachedImages({
      upstream: upstreams[trust],
      policy: allowUpstreams(config.allowedUpstreams),
      documents: sharing.documents,
      downloads,
      clock: tools.tuning.clock,
      log: tools.log,
      // What an operator's specs have resolved is no answer to those who may not ask
      tags: sharing.tags[trust],
      lifetimes: settings,
      staleAfterMs: tools.tuning.documents.staleAfterMs,
      staleAgainMs: tools.tuning.documents.staleAgainMs,
      memory: hosts.images[trust],
    })
  const readers = { operator: read("operator"), remote: read("remote") }
  const fetchedBy = (trust: Trust) => ({
    image: new ImageLayerSource(readers[trust]),
    url: new UrlLayerSource({ egress: egress[trust], downloads, store, facts: store.facts("layer") }),
  })
  const fetched = { operator: fetchedBy("operator"), remote: fetchedBy("remote") }
  return { readers, upstreams, fetched }
}
