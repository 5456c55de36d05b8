import { LRUCache } from "lru-cache"
import type { LayerIndex } from "../archive/layer-index.ts"
import { isWhiteoutName, nameOf } from "../archive/layer-path.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { layerHistory } from "../oci/history.ts"
import { formatPlatform } from "../oci/platform.ts"
import { fateOf } from "./directory.ts"
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
/** Entries that are looked at before others get their turn. */
const TURN = 2000

/** What images consist of, for people. */
export class Inspection {
  readonly #known = new LRUCache<string, ImageReport>({ max: 200 })

  /** `indexes` are of all layers, the lowest first. */
  async report(image: FoundImage, indexes: readonly LayerIndex[]): Promise<ImageReport> {
    const { variant } = image
    const key = `${image.root} ${variant.manifest.blob.descriptor.digest}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const history = layerHistory(variant.config)
    const layers: LayerReport[] = []
    for (const [at, { descriptor }] of image.layers.entries()) {
      const createdBy = history[at] ?? null
      const origin = ADDED.test(createdBy ?? "") ? "added" : "base"
      layers.push({ descriptor, createdBy, origin, ...(await countFiles(indexes, at)) })
    }
    const manifest = variant.manifest.blob.descriptor.digest
    const report = { digest: image.root, manifest, platform: formatPlatform(variant.platform), layers }
    this.#known.set(key, report)
    return report
  }
}

async function countFiles(indexes: readonly LayerIndex[], layer: number) {
  const counts = { files: 0, bytes: 0, unseenFiles: 0, unseenBytes: 0 }
  let seen = 0
  for (const { path, size, type } of indexes[layer]?.entries() ?? []) {
    seen += 1
    if (seen % TURN === 0) await Bun.sleep(0)
    if (type === "directory" || isWhiteoutName(nameOf(path))) continue
    counts.files += 1
    counts.bytes += size
    if (fateOf(indexes, path, { layer, isDirectory: false }) === null) continue
    counts.unseenFiles += 1
    counts.unseenBytes += size
  }
  return counts
}
