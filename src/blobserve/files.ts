import { LRUCache } from "lru-cache"
import type { LayerEntry } from "../archive/layer-entry.ts"
import type { LayerIndex } from "../archive/layer-index.ts"
import type { LayerPath } from "../archive/layer-path.ts"
import type { LocatedBlob } from "../blob/blob.ts"
import { abortable } from "../lib/single-flight.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import type { Platform } from "../oci/platform.ts"
import { formatReference, type Trust } from "../oci/reference.ts"
import type { Contents } from "./contents.ts"
import type { FileImage, FoundImage, ImageFinder } from "./found-image.ts"
import type { LayerSource } from "./layer-source.ts"
import type { Layers } from "./layers.ts"
import { resolvePath } from "./merged-view.ts"
import type { OpenLayer } from "./open-layer.ts"
import { OpenStack } from "./open-stack.ts"
import { PackGone } from "./pack.ts"

/** Which layers of an image count: all, merged; or only the first, as the original served it. */
export type LayerChoice = "first" | "all"

export interface FileQuery {
  readonly image: FileImage
  readonly layers: LayerChoice
  readonly platform: Platform
}

export interface FoundFile {
  readonly kind: "file"
  readonly entry: LayerEntry
  readonly blob: LocatedBlob
  readonly image: Digest
  readonly layer: Digest
  /** False while the layer is still on its way: the file might turn out to be wrong. */
  readonly isVerified: boolean
}

export type FileAnswer = FoundFile | { readonly kind: "directory" } | { readonly kind: "absent" }

export interface FilesOptions {
  readonly images: ImageFinder
  readonly layers: Readonly<Record<Trust, Layers>>
  readonly contents: Contents
  /** Ends what goes on without anybody who waits. */
  readonly background: AbortSignal
}

/** Evicted contents are scanned again; more often than this, something else is wrong. */
const MAX_RESCANS = 3
/** What runtimes take. */
const MAX_LAYERS = 127

/** The files inside images. */
export class Files {
  readonly #options: FilesOptions
  readonly #known = new LRUCache<string, true>({ max: 10_000 })

  constructor(options: FilesOptions) {
    this.#options = options
  }

  /** True for an image that this process has found before. */
  knows(image: FileImage): boolean {
    return this.#known.has(nameOf(image))
  }

  /** The image. It is looked for to the end even if the signal is aborted. Rejects with RegistryError. */
  async image({ image, platform }: FileQuery, signal: AbortSignal): Promise<FoundImage> {
    const found = await abortable(this.#options.images.find(image, platform, this.#options.background), signal)
    if (found.layers.length > MAX_LAYERS) {
      const message = `Cannot serve files of image ${found.root}: it has ${found.layers.length} layers, more than ${MAX_LAYERS}`
      throw new RegistryError("MANIFEST_INVALID", message, { status: 502 })
    }
    this.#known.set(nameOf(image), true)
    return found
  }

  /** Waits until it is known what stands at a path; layers that this takes are read to the end whoever leaves. */
  async find(query: FileQuery, path: LayerPath, signal: AbortSignal): Promise<FileAnswer> {
    const image = await this.image(query, signal)
    const stack = this.#stack(image, query.layers)
    try {
      return await this.#findIn(stack, image, path, signal)
    } finally {
      stack.close()
    }
  }

  async #findIn(stack: OpenStack, image: FoundImage, path: LayerPath, signal: AbortSignal): Promise<FileAnswer> {
    for (let rescans = 0; ; ) {
      const resolved = resolvePath(stack.trees(), path)
      if (resolved.kind === "directory" || resolved.kind === "absent") return resolved
      try {
        if (resolved.kind === "undecided") await stack.more(resolved.layer, signal)
        else return await this.#locate(resolved.entry, { image, layer: stack.open(resolved.layer), signal })
      } catch (error) {
        rescans += 1
        if (!(error instanceof PackGone) || rescans > MAX_RESCANS) throw error
        stack.forget(resolved.layer)
      }
    }
  }

  /**
   * Reads all layers that count; `use` has their indexes, the lowest first, until it has settled. Rejects as the first
   * layer that cannot be read.
   */
  async indexes<Result>(
    query: FileQuery,
    signal: AbortSignal,
    use: (indexes: readonly LayerIndex[], image: FoundImage) => Promise<Result>,
  ): Promise<Result> {
    const image = await this.image(query, signal)
    const stack = this.#stack(image, query.layers)
    try {
      return await use(await stack.complete(signal), image)
    } finally {
      stack.close()
    }
  }

  #stack(image: FoundImage, choice: LayerChoice): OpenStack {
    return new OpenStack({
      image: image.root,
      sources: stackOf(image, choice),
      layers: this.#options.layers[image.trust],
    })
  }

  async #locate(entry: LayerEntry, { image, layer, signal }: Located): Promise<FoundFile> {
    const isVerified = layer.isVerified
    const blob = await this.#options.contents.locate(entry, layer, signal)
    return { kind: "file", entry, blob, image: image.root, layer: layer.digest, isVerified }
  }
}

interface Located {
  readonly image: FoundImage
  readonly layer: OpenLayer
  readonly signal: AbortSignal
}

/** The uppermost first. */
const stackOf = ({ layers }: FoundImage, choice: LayerChoice): readonly LayerSource[] =>
  choice === "first" ? layers.slice(0, 1) : layers.toReversed()

function nameOf(image: FileImage): string {
  if (image.kind === "stored") return formatReference(image.reference)
  return image.digest === null ? image.name : `${image.name}@${image.digest}`
}
