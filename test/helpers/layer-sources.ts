import type { LayerSources } from "../../src/facade/contribute.ts"
import { DirLayerSource } from "../../src/layer/dir.ts"
import { DirectLayerSource } from "../../src/layer/direct.ts"
import { FileLayerSource } from "../../src/layer/file.ts"
import { FilesLayerSource } from "../../src/layer/files.ts"
import { ImageLayerSource } from "../../src/layer/image.ts"
import { UrlLayerSource } from "../../src/layer/url.ts"
import { type Clock, systemClock } from "../../src/lib/clock.ts"
import type { ImageReader } from "../../src/upstream/upstream.ts"
import { createWorkshop } from "./workshop.ts"

/** Every kind of layer, with a store of its own and no way out. */
export async function layerSources(reader: ImageReader, clock: Clock = systemClock): Promise<LayerSources> {
  const workshop = await createWorkshop()
  const egress = async () => {
    throw new Error("These tests reach nothing")
  }
  return {
    file: new FileLayerSource(workshop),
    dir: new DirLayerSource(workshop, clock),
    files: new FilesLayerSource(workshop),
    image: new ImageLayerSource(reader),
    url: new UrlLayerSource({ egress, ...workshop }),
    direct: new DirectLayerSource(workshop),
  }
}
