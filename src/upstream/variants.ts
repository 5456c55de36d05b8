import { type ImageConfig, parseConfig } from "../oci/config.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { RegistryError } from "../oci/error.ts"
import { type DescriptorNode, type ImageManifest, parseManifest } from "../oci/manifest.ts"
import { isConfigType, isIndexType, isManifestType } from "../oci/media-type.ts"
import { formatPlatform, type Platform, platformFitness } from "../oci/platform.ts"
import { formatReference } from "../oci/reference.ts"
import { errorText } from "../telemetry/log.ts"
import type { ImageReader, StoredReference } from "./upstream.ts"

/** What reading an image takes; the reference is for messages and for finding blobs. */
export interface Reading {
  readonly reader: ImageReader
  readonly reference: StoredReference
  readonly signal: AbortSignal
}

/** An image, or a set of them in an index, before its platforms are read. */
export interface StoredImage {
  readonly root: JsonBlob
  /** Null: a single manifest. Entries that are no runnable image, such as attestations, are left out. */
  readonly entries: readonly DescriptorNode[] | null
}

/** One platform's image, complete enough to be composed. */
export interface Variant {
  /** What the index says of it; null when the image has no index. */
  readonly entry: DescriptorNode | null
  readonly platform: Platform
  readonly manifest: ImageManifest
  readonly config: ImageConfig
}

const MAX_NESTING = 4
const REFERENCE_TYPE = "vnd.docker.reference.type"

/** Reads the root of an image; nested indexes are flattened in their order. Rejects with RegistryError. */
export async function readImage(reading: Reading): Promise<StoredImage> {
  return await readStored(reading, await reading.reader.root(reading.reference, reading.signal))
}

/** The same for a root that was read before. */
export async function readStored(reading: Reading, root: JsonBlob): Promise<StoredImage> {
  return { root, entries: isIndexType(root.descriptor.mediaType) ? await flatten(reading, root, 1) : null }
}

async function flatten(reading: Reading, index: JsonBlob, depth: number): Promise<readonly DescriptorNode[]> {
  const { reader, reference, signal } = reading
  const parsed = parsedManifest(reference, index)
  if (parsed.kind !== "index") return []
  const lists = parsed.manifests.filter(isImageEntry).map(async (entry) => {
    if (!isIndexType(entry.descriptor.mediaType)) return [entry]
    if (depth === MAX_NESTING) throw unusable(reference, `its indexes are nested deeper than ${MAX_NESTING}`)
    return await flatten(reading, await reader.document(reference, entry.descriptor, signal), depth + 1)
  })
  return (await Promise.all(lists)).flat()
}

/** Attestations and other artifacts are listed beside images, but nothing can run them. */
function isImageEntry({ descriptor, json }: DescriptorNode): boolean {
  const { mediaType, platform, annotations } = descriptor
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) return false
  if (annotations?.[REFERENCE_TYPE] !== undefined || platform?.os === "unknown") return false
  return !json.members.some(({ key }) => key === "artifactType")
}

/** The entry that fits a platform best. Null: none does. One that does not tell its platform is read to find out. */
export async function findVariant(reading: Reading, image: StoredImage, platform: Platform): Promise<Variant | null> {
  if (image.entries === null) {
    const variant = await readSingle(reading, image)
    return platformFitness(variant.platform, platform) > 0 ? variant : null
  }
  const telling = image.entries.filter((entry) => entry.descriptor.platform !== undefined)
  const best = bestOf(telling, (entry) => fitness(entry.descriptor.platform, platform))
  if (best !== null) return await readVariant(reading, best)
  const silent = image.entries.filter((entry) => entry.descriptor.platform === undefined)
  const variants = await Promise.all(silent.map((entry) => readVariant(reading, entry)))
  return bestOf(variants, (variant) => platformFitness(variant.platform, platform))
}

/** Reads one platform's image. */
export async function readVariant(reading: Reading, entry: DescriptorNode): Promise<Variant> {
  const manifest = await reading.reader.document(reading.reference, entry.descriptor, reading.signal)
  return await readManifest(reading, manifest, entry)
}

/** Reads an image that has no index. */
export async function readSingle(reading: Reading, { root }: StoredImage): Promise<Variant> {
  return await readManifest(reading, root, null)
}

/** "linux/amd64, linux/arm64", for messages. */
export function describePlatforms(entries: readonly DescriptorNode[]): string {
  const names = entries.map(({ descriptor: { platform } }) => (platform === undefined ? "?" : formatPlatform(platform)))
  return names.length === 0 ? "none" : names.join(", ")
}

const fitness = (offered: Platform | undefined, wanted: Platform): number =>
  offered === undefined ? 0 : platformFitness(offered, wanted)

/** The first of the best, because the order of an index is its author's preference (image-spec: image-index.md). */
function bestOf<Item>(items: readonly Item[], score: (item: Item) => number): Item | null {
  let best: { readonly item: Item; readonly points: number } | null = null
  for (const item of items) {
    const points = score(item)
    if (points > (best?.points ?? 0)) best = { item, points }
  }
  return best?.item ?? null
}

async function readManifest(reading: Reading, blob: JsonBlob, entry: DescriptorNode | null): Promise<Variant> {
  const { reference } = reading
  const manifest = parsedManifest(reference, blob)
  if (manifest.kind !== "manifest") throw unusable(reference, "an entry of its index is an index under another name")
  const { mediaType } = manifest.config.descriptor
  if (manifest.artifactType !== null || !isConfigType(mediaType)) {
    throw unusable(reference, `it is no image that can run, its kind is ${manifest.artifactType ?? mediaType}`)
  }
  const config = await readConfig(reading, manifest.config.descriptor)
  if (config.diffIDs.length !== manifest.layers.length) {
    throw unusable(
      reference,
      `it has ${counted(manifest.layers.length, "layer")} but ${counted(config.diffIDs.length, "diff_id")}`,
    )
  }
  return { entry, manifest, config, platform: entry?.descriptor.platform ?? config.platform }
}

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

async function readConfig({ reader, reference, signal }: Reading, descriptor: Descriptor): Promise<ImageConfig> {
  const { bytes } = await reader.document(reference, descriptor, signal)
  try {
    return parseConfig(bytes)
  } catch (error) {
    throw unusable(reference, `its config ${descriptor.digest} is not valid: ${errorText(error)}`, error)
  }
}

function parsedManifest(reference: StoredReference, blob: JsonBlob): ReturnType<typeof parseManifest> {
  try {
    return parseManifest(blob)
  } catch (error) {
    throw unusable(reference, `its manifest ${blob.descriptor.digest} is not valid: ${errorText(error)}`, error)
  }
}

const unusable = (reference: StoredReference, reason: string, cause?: unknown): RegistryError =>
  new RegistryError("MANIFEST_INVALID", `Cannot use image ${formatReference(reference)}: ${reason}`, {
    status: 502,
    cause,
  })
