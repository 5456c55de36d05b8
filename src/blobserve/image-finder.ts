import { LRUCache } from "lru-cache"
import { type BlobSource, openAt, type ReadyBlob } from "../blob/blob.ts"
import type { Downloads } from "../blob/downloads.ts"
import type { Facade } from "../facade/facade.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { RegistryError } from "../oci/error.ts"
import { formatPlatform, type Platform } from "../oci/platform.ts"
import { formatLocation, formatReference, type Trust } from "../oci/reference.ts"
import type { BlobStore } from "../store/store.ts"
import type { ImageReader, StoredReference } from "../upstream/upstream.ts"
import { describePlatforms, findVariant, type Reading, readStored } from "../upstream/variants.ts"
import { composedReader, openComposed } from "./composed-images.ts"
import type { FileImage, FoundImage, ImageFinder } from "./found-image.ts"
import type { LayerSource } from "./layer-source.ts"
import type { Ownership } from "./ownership.ts"

export interface ImageFinderOptions {
  /** Asked for every image, so that a change of the configuration can swap them. */
  readonly readers: () => Readonly<Record<Trust, ImageReader>>
  readonly ownership: Ownership
  /** What is composed here. */
  readonly facade: () => Facade
  /** Where layers of operators' images may be already. */
  readonly stores: readonly BlobStore[]
  /** Places to look in before such an image's own, nearest first. */
  readonly caches: readonly BlobSource[]
  /** Brings those that are not. Whoever may publish an image may name any digest in it, so nothing is shared with those. */
  readonly downloads: Readonly<Record<Trust, Downloads>>
}

type OpenLayer = (descriptor: Descriptor, signal: AbortSignal, isApart: boolean) => Promise<ReadableStream<Uint8Array>>

/** Finds images as pulls do, through the same readers; what a digest has is remembered. */
export class StoredImageFinder implements ImageFinder {
  readonly #options: ImageFinderOptions
  readonly #known = new LRUCache<string, FoundImage>({ max: 500 })

  constructor(options: ImageFinderOptions) {
    this.#options = options
  }

  async find(image: FileImage, platform: Platform, signal: AbortSignal): Promise<FoundImage> {
    if (image.kind === "composed") return await this.#composed(image, platform, signal)
    try {
      return await this.#stored(image, platform, signal)
    } catch (error) {
      throw image.reference.kind === "layout" ? withoutPlace(error, image.reference.dir, image.repository) : error
    }
  }

  async #stored(
    { reference, trust }: Extract<FileImage, { kind: "stored" }>,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<FoundImage> {
    const reading = { reader: this.#options.readers()[trust], reference, signal }
    if (reference.digest !== null) await this.#options.ownership.check(reference, reference.digest, trust, signal)
    const root = await reading.reader.root(reference, signal)
    const open: OpenLayer = async (descriptor, opener, isApart) => {
      const ready = await this.#layer(descriptor, { reference, trust, isApart, signal: opener })
      return await openAt(ready, 0, opener)
    }
    const place = formatLocation(reference)
    const host = reference.kind === "layout" ? place : reference.repository.host
    return await this.#read({ reading, root, platform, trust, place, host, name: formatReference(reference), open })
  }

  async #composed(
    { name, digest }: Extract<FileImage, { kind: "composed" }>,
    platform: Platform,
    signal: AbortSignal,
  ): Promise<FoundImage> {
    const facade = this.#options.facade()
    const reader = composedReader(facade, name)
    // Only for messages: nothing but the reader is asked
    const reference: StoredReference = { kind: "layout", dir: name, tag: null, digest }
    const root = digest === null ? (await facade.image(name, signal)).root : await facade.document(name, digest, signal)
    const open: OpenLayer = async (descriptor, opener) =>
      await openComposed(this.#options.facade(), name, descriptor.digest, opener)
    const reading = { reader, reference, signal }
    return await this.#read({ reading, root, platform, trust: "operator", place: name, host: name, name, open })
  }

  async #read({ reading, root, platform, trust, place, host, name, open }: Reads): Promise<FoundImage> {
    const key = `${trust} ${place} ${root.descriptor.digest} ${formatPlatform(platform)}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const stored = await readStored(reading, root)
    const variant = await findVariant(reading, stored, platform)
    if (variant === null) {
      const offered = describePlatforms(stored.entries ?? [])
      const message = `Cannot find ${name} for ${formatPlatform(platform)}: it has ${offered}`
      throw new RegistryError("MANIFEST_UNKNOWN", message, { detail: "no_platform" })
    }
    const layers = variant.manifest.layers.map(
      ({ descriptor }): LayerSource => ({
        descriptor,
        host,
        place,
        open: (opener, isApart = false) => open(descriptor, opener, isApart),
      }),
    )
    const found = { root: root.descriptor.digest, trust, variant, layers }
    this.#known.set(key, found)
    return found
  }

  async #layer(descriptor: Descriptor, { isApart, reference, signal, trust }: LayerPlace): Promise<ReadyBlob> {
    const { caches, downloads, readers, stores } = this.#options
    const sources = readers()[trust].blobs(reference)
    if (trust === "remote") return await downloads.remote.cold(descriptor, sources, isApart).obtain(signal, "arriving")
    for (const store of stores) {
      const kept = await store.find(descriptor, signal)
      if (kept !== null) return kept
    }
    return await downloads.operator.cold(descriptor, [...caches, ...sources], isApart).obtain(signal, "arriving")
  }
}

interface LayerPlace {
  readonly reference: StoredReference
  readonly trust: Trust
  /** By a transfer of its own. */
  readonly isApart: boolean
  readonly signal: AbortSignal
}

function withoutPlace(error: unknown, dir: string, repository: string): unknown {
  if (!(error instanceof RegistryError)) return error
  const { code, detail, message, retryAfterSeconds, status } = error
  return new RegistryError(code, message.replaceAll(`oci:${dir}`, repository).replaceAll(dir, repository), {
    cause: error,
    status,
    ...(detail === null ? {} : { detail }),
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
  })
}

interface Reads {
  readonly reading: Reading
  readonly root: JsonBlob
  readonly platform: Platform
  readonly trust: Trust
  /** Without tag and digest. */
  readonly place: string
  readonly host: string
  readonly name: string
  readonly open: OpenLayer
}
