import { LRUCache } from "lru-cache"
import type { BlobSource } from "../blob/blob.ts"
import type { ImageConfig } from "../oci/config.ts"
import { isForeignLayer } from "../oci/media-type.ts"
import { formatPlatform, type Platform } from "../oci/platform.ts"
import { formatLocation } from "../oci/reference.ts"
import type { ImageReader } from "../upstream/upstream.ts"
import { findVariant, readStored, type Variant } from "../upstream/variants.ts"
import { layerFault } from "./import-layer.ts"
import type { Contribution, EnvEdit, Layer, LayerRequest, LayerSource } from "./layer.ts"

type ImageRequest = Extract<LayerRequest, { kind: "image" }>

/** On an added image: how many of its first layers are left out. */
const SKIP_LABEL = "skip-n.registry-facade.gitpod.io"
const MAX_SKIP = 65_535

/** All layers of another image, and the changes to the environment that it asks for. */
export class ImageLayerSource implements LayerSource<ImageRequest> {
  readonly kind = "image"
  readonly #reader: ImageReader
  /** By digest, platform and text, so nothing in it can become stale. */
  readonly #known = new LRUCache<string, { readonly contribution: Contribution | null }>({ max: 500 })

  constructor(reader: ImageReader) {
    this.#reader = reader
  }

  async contribute(request: ImageRequest, platform: Platform, signal: AbortSignal): Promise<Contribution | null> {
    const { reference, text } = request
    const root = await this.#reader.root(reference, signal)
    const key = `${root.descriptor.digest} ${formatPlatform(platform)} ${text}`
    const known = this.#known.get(key)
    if (known !== undefined) return known.contribution
    const reading = { reader: this.#reader, reference, signal }
    const variant = await findVariant(reading, await readStored(reading, root), platform)
    const contribution = variant === null ? null : this.#contribution(request, variant)
    this.#known.set(key, { contribution })
    return contribution
  }

  #contribution({ reference, text }: ImageRequest, { manifest, config }: Variant): Contribution {
    try {
      const skip = readSkip(config)
      const from = formatLocation(reference)
      const sources = this.#reader.blobs(reference).map((source): BlobSource => ({ ...source, name: "image" }))
      const layers = manifest.layers.map(({ descriptor }, index): Layer => {
        const diffID = config.diffIDs[index]
        if (diffID === undefined) throw new TypeError(`layer ${index} has no diff_id`)
        if (isForeignLayer(descriptor.mediaType))
          throw new TypeError(`layer ${index} may not be distributed: ${descriptor.mediaType}`)
        const { mediaType, digest, size, annotations } = descriptor
        const kept = { mediaType, digest, size, ...(annotations === undefined ? {} : { annotations }) }
        return { descriptor: kept, diffID, createdBy: `registry-facade: image ${text}`, sources, from }
      })
      const isCurrent = () => this.#reader.isFresh(reference)
      return { layers: layers.slice(skip), env: readEnvEdits(config.env), isCurrent }
    } catch (error) {
      throw layerFault(`image ${text}`, error)
    }
  }
}

function readSkip({ labels }: ImageConfig): number {
  const label = labels[SKIP_LABEL]
  if (label === undefined) return 0
  const skip = /^[0-9]{1,5}$/.test(label) ? Number(label) : Number.NaN
  if (skip <= MAX_SKIP) return skip
  throw new TypeError(
    `its label ${SKIP_LABEL} is ${JSON.stringify(label.slice(0, 40))}, expected a number from 0 to ${MAX_SKIP}`,
  )
}

const ENV_EDIT = /^GITPOD_ENV_(SET|APPEND|PREPEND)_([^=]+)=(.*)$/s

/**
 * The original's conventions. APPEND puts its value in front and PREPEND behind: every image in use relies on it,
 * whatever the words say. Values bring their own separator.
 */
export function readEnvEdits(env: readonly string[]): readonly EnvEdit[] {
  return env.flatMap((line): readonly EnvEdit[] => {
    const [, verb, name = "", value = ""] = ENV_EDIT.exec(line) ?? []
    if (verb === "SET") return [{ op: "set", name, value }]
    if (verb === undefined || value === "") return []
    return [{ op: verb === "APPEND" ? "before" : "after", name, value, separator: "" }]
  })
}
