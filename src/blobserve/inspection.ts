import { LRUCache } from "lru-cache"
import type { LayerIndex } from "../archive/layer-index.ts"
import { isWhiteoutName, nameOf } from "../archive/layer-path.ts"
import { Turns } from "../lib/turns.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { layerHistory } from "../oci/history.ts"
import { formatPlatform } from "../oci/platform.ts"
import { Fates } from "./fates.ts"
import type { FoundImage } from "./found-image.ts"

export interface LayerReport {
  readonly descriptor: Descriptor
  /** As the image's history tells it. */
  readonly createdBy: string | null
  /** Added here when the image was composed, or a part of what it was composed on. */
  readonly origin: "base" | "added"
  readonly files: number
  /** Of all its files, uncompressed. */
  readonly bytes: number
  /** Files, and their bytes, that no one sees because an upper layer replaces or removes them. */
  readonly unseenFiles: number
  readonly unseenBytes: number
}

export interface ImageReport {
  readonly digest: Digest
  readonly manifest: Digest
  readonly platform: string
  /** The lowest first. */
  readonly layers: readonly LayerReport[]
}

/** The layers that are composed here tell so in their history. */
const ADDED = /^registry-facade: /

/** What images consist of, for people. */
export class Inspection {
  readonly #known = new LRUCache<string, Promise<ImageReport>>({ max: 200 })

  /** `indexes` are of all layers, the lowest first. What was begun goes on for whoever asks next. */
  async report(image: FoundImage, indexes: readonly LayerIndex[]): Promise<ImageReport> {
    const key = `${image.trust} ${image.root} ${image.variant.manifest.blob.descriptor.digest}`
    const known = this.#known.get(key)
    if (known !== undefined) return await known
    const report = this.#make(image, indexes)
    this.#known.set(key, report)
    report.catch(() => this.#known.delete(key))
    return await report
  }

  async #make(image: FoundImage, indexes: readonly LayerIndex[]): Promise<ImageReport> {
    const { trust, variant } = image
    // A config is shared by its digest, which whoever publishes an image can name without having it
    const history = trust === "remote" ? [] : layerHistory(variant.config)
    const layers: LayerReport[] = []
    const turns = new Turns()
    for (const [at, { descriptor }] of image.layers.entries()) {
      const createdBy = history[at] ?? null
      const origin = ADDED.test(createdBy ?? "") ? "added" : "base"
      layers.push({ descriptor, createdBy, origin, ...(await countFiles(indexes, at, turns)) })
    }
    const manifest = variant.manifest.blob.descriptor.digest
    return { digest: image.root, manifest, platform: formatPlatform(variant.platform), layers }
  }
}

async function countFiles(indexes: readonly LayerIndex[], layer: number, turns: Turns) {
  const counts = { files: 0, bytes: 0, unseenFiles: 0, unseenBytes: 0 }
  const fates = new Fates(indexes, layer)
  let looks = 0
  for (const { path, size, type } of indexes[layer]?.entries() ?? []) {
    if (turns.spend(1 + fates.looks - looks)) await Bun.sleep(0)
    looks = fates.looks
    if (type === "directory" || isWhiteoutName(nameOf(path))) continue
    counts.files += 1
    counts.bytes += size
    if (fates.of(path, false) === null) continue
    counts.unseenFiles += 1
    counts.unseenBytes += size
  }
  if (turns.spend(fates.looks - looks)) await Bun.sleep(0)
  return counts
}
