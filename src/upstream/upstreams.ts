import { LRUCache } from "lru-cache"
import type { BlobSource } from "../blob/blob.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { StoredReference, TagAnswer, Upstream } from "./upstream.ts"

export interface UpstreamsOptions {
  readonly layouts: Upstream
  /** Makes the upstream of a registry host. */
  readonly connect: (host: string) => Upstream
}

/** Hosts come from specs, so there is a bound to how many are remembered. */
const MAX_HOSTS = 500

/** All places that images come from, by the kind and host of their reference. */
export class Upstreams implements Upstream {
  readonly #options: UpstreamsOptions
  readonly #hosts = new LRUCache<string, Upstream>({ max: MAX_HOSTS })

  constructor(options: UpstreamsOptions) {
    this.#options = options
  }

  async resolve(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob | null> {
    return await this.#of(reference).resolve(reference, signal)
  }

  async head(reference: StoredReference, signal: AbortSignal): Promise<TagAnswer> {
    return await this.#of(reference).head(reference, signal)
  }

  async manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob | null> {
    return await this.#of(reference).manifest(reference, digest, signal)
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    return this.#of(reference).blobs(reference)
  }

  #of(reference: StoredReference): Upstream {
    if (reference.kind === "layout") return this.#options.layouts
    const { host } = reference.repository
    const upstream = this.#hosts.get(host) ?? this.#options.connect(host)
    this.#hosts.set(host, upstream)
    return upstream
  }
}
