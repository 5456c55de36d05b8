import { describe, expect, test } from "bun:test"
import type { LayerEntry } from "../../src/archive/layer-entry.ts"
import { encodeIndex, LayerIndex } from "../../src/archive/layer-index.ts"
import { listDirectory } from "../../src/blobserve/directory.ts"
import type { FoundImage } from "../../src/blobserve/found-image.ts"
import { Inspection } from "../../src/blobserve/inspection.ts"
import { parseConfig } from "../../src/oci/config.ts"
import { manifestBlob, parseManifest } from "../../src/oci/manifest.ts"
import { image, layer } from "../helpers/images.ts"

const COUNT = 400
/** For each layer, all those above it are looked into; a turn is 5000 looks, and not much more. */
const TURNS = Math.floor((COUNT * COUNT) / 2 / (5000 + COUNT)) - 1

const index = (...paths: readonly string[]): LayerIndex => {
  const entries = paths.map((path): LayerEntry => {
    return { path, type: "directory", link: "", mode: 0, mtime: 0, size: 0, offset: 0, sha256: "" }
  })
  return new LayerIndex(encodeIndex(() => entries, []))
}

/** How often others get their turn while something is worked on. */
async function turnsOf(work: () => Promise<unknown>): Promise<number> {
  let turns = 0
  const tick = () => {
    turns += 1
    next = setImmediate(tick)
  }
  let next = setImmediate(tick)
  await work()
  clearImmediate(next)
  return turns
}

describe("others get their turn", () => {
  test("while one name of a directory is looked for in many layers", async () => {
    const layers = Array.from({ length: COUNT }, () => index("d"))

    expect(await turnsOf(() => listDirectory(layers, ""))).toBeGreaterThanOrEqual(TURNS)
  })

  test("while very long names are looked for by each of their beginnings", async () => {
    const names = Array.from({ length: 1000 }, (_, at) => `${String(at).padStart(4, "0")}${"-".repeat(240)}`)

    expect(await turnsOf(() => listDirectory([index(...names)], ""))).toBeGreaterThanOrEqual(40)
  })

  test("while many layers are counted that hold next to nothing", async () => {
    const layers = Array.from({ length: COUNT }, () => index("d"))

    const found = await foundImage(COUNT)
    expect(await turnsOf(() => new Inspection().report(found, layers))).toBeGreaterThanOrEqual(TURNS)
  })
})

async function foundImage(count: number): Promise<FoundImage> {
  const one = await layer({ f: "" })
  const { config, manifest } = await image({ layers: Array.from({ length: count }, () => one) })
  const parsed = parseManifest(manifestBlob(manifest.bytes, manifest.mediaType))
  if (parsed.kind !== "manifest") throw new Error("This is not one image")
  const settings = parseConfig(config.bytes)
  const open = async () => new Blob([]).stream()
  const sources = parsed.layers.map(({ descriptor }) => ({ descriptor, host: "here", place: "here", open }))
  const { platform } = settings
  return {
    root: parsed.blob.descriptor.digest,
    trust: "operator",
    variant: { entry: null, platform, manifest: parsed, config: settings },
    layers: sources,
  }
}
