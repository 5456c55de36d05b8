import type { BlobSource } from "../blob/blob.ts"
import { type BaseImage, composeImage } from "../compose/compose.ts"
import { type ComposedEntry, composeIndex } from "../compose/image-index.ts"
import { scratchImage, scratchIndex } from "../compose/scratch.ts"
import type { LayerRequest, PlacedRequest } from "../layer/layer.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { asObject, type JsonObject, parseJson } from "../oci/json.ts"
import { formatPlatform, isSamePlatform, type Platform, platformFitness } from "../oci/platform.ts"
import { formatLocation, formatReference, type Trust } from "../oci/reference.ts"
import type { ImageSpec } from "../spec/spec.ts"
import { errorText, type Logger } from "../telemetry/log.ts"
import type { ImageReader, StoredReference } from "../upstream/upstream.ts"
import {
  describePlatforms,
  readImage,
  readSingle,
  readVariant,
  type StoredImage,
  type Variant,
} from "../upstream/variants.ts"
import { baseAnnotations, sizeAnnotations } from "./annotations.ts"
import { type BlobEntry, mergedBlobs } from "./blob-entry.ts"
import { type Added, contributeAll, type LayerSources } from "./contribute.ts"

export interface ComposerOptions {
  /** What the images and layers of a spec are read with depends on who wrote it. */
  readonly readers: Readonly<Record<Trust, ImageReader>>
  readonly layers: Readonly<Record<Trust, LayerSources>>
  /** Layers that every image gets, before those of its spec. */
  readonly staticLayers: readonly PlacedRequest[]
  readonly staticSources: LayerSources
  readonly defaultPlatform: Platform
  readonly log: Logger
}

/** An image as it is served, with everything that it consists of. */
export interface ServedImage {
  readonly root: JsonBlob
  readonly single: JsonBlob | null
  /** The root, the manifests and the configs. */
  readonly documents: ReadonlyMap<Digest, JsonBlob>
  readonly blobs: ReadonlyMap<Digest, BlobEntry>
}

/** An image as it was composed. */
export interface Composition extends ServedImage {
  /** The images that it was made of as they were, because their upstream fails. */
  readonly staleReferences: () => readonly string[]
  readonly platforms: readonly ComposedPlatform[]
  /** False once composing again might give something else. */
  readonly isCurrent: () => boolean
}

export interface ComposedPlatform {
  readonly platform: Platform
  readonly manifest: JsonBlob
  readonly config: JsonBlob
  readonly baseLayers: readonly BlobEntry[]
  readonly contributions: readonly Added[]
  readonly entry: JsonObject
}

interface Base {
  readonly image: BaseImage
  readonly platform: Platform
  readonly entry: JsonObject
  readonly annotations: Readonly<Record<string, string>>
  readonly sources: readonly BlobSource[]
  readonly from: string | null
}

const EMPTY: JsonObject = { kind: "object", members: [] }

/** Turns a spec into an image: reads the base, asks for the layers of each platform, and composes. */
export class Composer {
  readonly #options: ComposerOptions

  constructor(options: ComposerOptions) {
    this.#options = options
  }

  /** Rejects with RegistryError whose message tells the user of the image what is wrong. */
  async compose(spec: ImageSpec, signal: AbortSignal): Promise<Composition> {
    return spec.base.kind === "scratch"
      ? await this.#onScratch(spec, signal)
      : await this.#onStored(spec, spec.base, signal)
  }

  async #onScratch(spec: ImageSpec, signal: AbortSignal): Promise<Composition> {
    const platforms = spec.platforms ?? [this.#options.defaultPlatform]
    const composed = await Promise.all(
      platforms.map((platform) => {
        const base = { image: scratchImage(platform), platform, entry: EMPTY, annotations: {}, sources: [], from: null }
        return this.#onPlatform(spec, platform, async () => base, signal)
      }),
    )
    const found = composed.filter((image) => image !== null)
    if (found.length === 0) throw noPlatform(spec, platforms.map(formatPlatform).join(", "))
    return this.#composition(spec, found, {
      index: platforms.length > 1 ? scratchIndex() : null,
      isCurrent: () => true,
      annotations: {},
    })
  }

  async #onStored(spec: ImageSpec, reference: StoredReference, signal: AbortSignal): Promise<Composition> {
    const reader = this.#options.readers[spec.trust]
    const reading = { reader, reference, signal }
    const image = await readImage(reading)
    const read = async (entry: Parameters<typeof readVariant>[1] | null) =>
      this.#base(spec, reference, entry === null ? await readSingle(reading, image) : await readVariant(reading, entry))
    const composed =
      image.entries === null
        ? [await this.#single(spec, await read(null), signal)]
        : await this.#each(spec, image, read, signal)
    const found = composed.filter((one) => one !== null)
    if (found.length === 0) throw noPlatform(spec, describePlatforms(image.entries ?? []))
    const isIndex = image.entries !== null
    return this.#composition(spec, found, {
      index: isIndex ? asObject(parseJson(image.root.bytes)) : null,
      isCurrent: () => reader.isFresh(reference),
      annotations: baseAnnotations(reference, image.root.descriptor.digest),
    })
  }

  async #single(spec: ImageSpec, base: Base, signal: AbortSignal): Promise<ComposedPlatform | null> {
    if (!isWanted(spec, base.platform)) throw noPlatform(spec, formatPlatform(base.platform))
    return await this.#onPlatform(spec, base.platform, async () => base, signal)
  }

  /** The platforms of an index. One that is no image, or is missing upstream, is left out while others are left. */
  async #each(
    spec: ImageSpec,
    image: StoredImage,
    read: (entry: Parameters<typeof readVariant>[1]) => Promise<Base>,
    signal: AbortSignal,
  ): Promise<readonly (ComposedPlatform | null)[]> {
    const faults: RegistryError[] = []
    const entries = (image.entries ?? []).filter(
      ({ descriptor }) => descriptor.platform === undefined || isWanted(spec, descriptor.platform),
    )
    const composed = await Promise.all(
      entries.map(async (entry) => {
        try {
          const platform = entry.descriptor.platform ?? (await read(entry)).platform
          if (!isWanted(spec, platform)) return null
          return await this.#onPlatform(spec, platform, () => read(entry), signal)
        } catch (error) {
          if (!isUnusable(error)) throw error
          faults.push(error)
          return null
        }
      }),
    )
    const [fault] = faults
    if (fault !== undefined && composed.every((one) => one === null)) throw fault
    for (const error of faults) this.#options.log.warn("leaving a platform out", { base: spec.baseText, error })
    return composed
  }

  async #onPlatform(
    spec: ImageSpec,
    platform: Platform,
    read: () => Promise<Base>,
    signal: AbortSignal,
  ): Promise<ComposedPlatform | null> {
    const contributions = await this.#contributions(spec, platform, signal)
    if (contributions === null) return null
    const base = await read()
    const layers = contributions.flatMap((contribution) => contribution.layers)
    const edit = { ...spec.edit, env: [...contributions.flatMap(({ env }) => env), ...spec.edit.env] }
    const annotations = { ...sizeAnnotations(spec, base.image), ...base.annotations, ...spec.annotations }
    try {
      const { manifest, config } = composeImage(base.image, { layers, edit, annotations })
      const baseLayers = base.image.manifest.layers.map(({ descriptor }) => ({
        descriptor,
        sources: base.sources,
        from: base.from,
        trust: spec.trust,
      }))
      return { platform, manifest, config, baseLayers, contributions, entry: base.entry }
    } catch (error) {
      this.#options.log.error("cannot modify config", { baseRef: spec.baseText, error })
      throw new RegistryError("UNKNOWN", `Cannot compose on ${spec.baseText}: ${errorText(error)}`, { cause: error })
    }
  }

  /** Null: there is nothing for this platform. Static layers are the operator's, whoever wrote the spec. */
  async #contributions(
    { layers, trust }: ImageSpec,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<readonly Added[] | null> {
    const { layers: sources, staticLayers, staticSources } = this.#options
    const [common, own] = await Promise.all([
      contributeAll(staticSources, staticLayers, { trust: "operator", platform, signal }),
      contributeAll(sources[trust], layers, { trust, platform, signal }),
    ])
    return common === null || own === null ? null : [...common, ...own]
  }

  #base(spec: ImageSpec, reference: StoredReference, { manifest, config, entry, platform }: Variant): Base {
    if (!isWanted(spec, platform)) throw noPlatform(spec, formatPlatform(platform))
    return {
      image: { manifest, config },
      platform,
      entry: entry?.json ?? EMPTY,
      annotations: baseAnnotations(reference, manifest.blob.descriptor.digest),
      sources: this.#options.readers[spec.trust].blobs(reference),
      from: formatLocation(reference),
    }
  }

  /** The answer holds nothing of the spec but references: compositions live long, and content in specs is large. */
  #staleReferences({ base, layers, trust }: ImageSpec): () => readonly string[] {
    const { readers, staticLayers } = this.#options
    const own = [...(base.kind === "scratch" ? [] : [base]), ...imagesOf(layers)]
    const common = imagesOf(staticLayers)
    return () =>
      [
        ...own.filter((reference) => readers[trust].isStale(reference)),
        ...common.filter((reference) => readers.operator.isStale(reference)),
      ].map(formatReference)
  }

  #composition(
    spec: ImageSpec,
    platforms: readonly ComposedPlatform[],
    { index, isCurrent, annotations }: Outline,
  ): Composition {
    const entries = platforms.map(
      ({ entry, platform, manifest }): ComposedEntry => ({ json: entry, platform, manifest }),
    )
    const [first] = platforms
    const root =
      index === null ? first?.manifest : composeIndex(index, entries, { ...annotations, ...spec.annotations })
    if (root === undefined) throw noPlatform(spec, "none")
    const documents = [root, ...platforms.flatMap(({ manifest, config }) => [manifest, config])]
    const contributions = platforms.flatMap((platform) => platform.contributions)
    return {
      root,
      single: index === null ? root : defaultManifest(platforms, this.#options.defaultPlatform),
      platforms,
      documents: new Map(documents.map((document) => [document.descriptor.digest, document])),
      blobs: mergedBlobs(platforms.flatMap(blobEntries)),
      staleReferences: this.#staleReferences(spec),
      isCurrent: () => isCurrent() && contributions.every((contribution) => contribution.isCurrent()),
    }
  }
}

const imagesOf = (requests: readonly LayerRequest[]): readonly StoredReference[] =>
  requests.flatMap((request) => (request.kind === "image" ? [request.reference] : []))

interface Outline {
  /** Null: the result is a single manifest. */
  readonly index: JsonObject | null
  readonly isCurrent: () => boolean
  readonly annotations: Readonly<Record<string, string>>
}

function blobEntries({ baseLayers, contributions }: ComposedPlatform): readonly BlobEntry[] {
  const added = contributions.flatMap(({ layers, trust }) =>
    layers.map(({ descriptor, sources, from }) => ({ descriptor, sources, from, trust })),
  )
  return [...baseLayers, ...added]
}

function defaultManifest(platforms: readonly ComposedPlatform[], wanted: Platform): JsonBlob | null {
  const ranked = platforms.toSorted(
    (one, other) => platformFitness(other.platform, wanted) - platformFitness(one.platform, wanted),
  )
  const [best] = ranked
  return best !== undefined && platformFitness(best.platform, wanted) > 0 ? best.manifest : null
}

const isWanted = ({ platforms }: ImageSpec, platform: Platform): boolean =>
  platforms === null || platforms.some((wanted) => isSamePlatform(wanted, platform))

const isUnusable = (error: unknown): error is RegistryError =>
  error instanceof RegistryError && (error.code === "MANIFEST_INVALID" || error.code === "MANIFEST_UNKNOWN")

function noPlatform({ baseText, platforms }: ImageSpec, available: string): RegistryError {
  const wanted = platforms === null ? "that all added layers support" : platforms.map(formatPlatform).join(", ")
  const message = `Cannot compose on ${baseText}: it has no platform ${wanted}, available: ${available}`
  return new RegistryError("MANIFEST_UNKNOWN", message, { detail: "no_platform" })
}
