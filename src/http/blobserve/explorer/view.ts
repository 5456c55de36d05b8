import type { LayerPath } from "../../../archive/layer-path.ts"
import type { DirectoryItem, DirectoryPage } from "../../../blobserve/directory.ts"
import type { ImageReport } from "../../../blobserve/inspection.ts"
import { encodedPath } from "../encoding.ts"
import { fileDate } from "../file-date.ts"
import { displayed } from "./names.ts"

/** What a person or a machine is shown of an image. */
export interface ImageView {
  /** As the request wrote it. */
  readonly image: string
  readonly report: ImageReport
  /** The directory that is shown. */
  readonly path: LayerPath
  readonly page: DirectoryPage
  /** Where files can be had: paths below it, as requests write them. Null: nothing of the directory is served. */
  readonly served: (path: LayerPath) => string | null
}

/** The same as data. Layers are counted from the lowest, 0. */
export function imageJson({ image, report, path, page, served }: ImageView) {
  return {
    image,
    digest: report.digest,
    manifest: report.manifest,
    platform: report.platform,
    layers: report.layers.map(({ descriptor, ...layer }) => ({
      digest: descriptor.digest,
      mediaType: descriptor.mediaType,
      size: descriptor.size,
      ...layer,
    })),
    directory: {
      path: `/${displayed(path)}`,
      entries: page.items.map(({ entry, fate, layer, name, path: place }) => ({
        name: displayed(name),
        path: `/${encodedPath(place)}`,
        type: entry?.type ?? "directory",
        layer,
        ...(entry === null ? {} : entryJson(entry)),
        ...(fate === null ? {} : { [fate.kind === "replaced" ? "replacedBy" : "removedBy"]: fate.by }),
        url: fate === null && entry?.type === "file" ? served(place) : null,
      })),
      next: page.next === null ? null : encodedPath(page.next),
    },
  }
}

function entryJson({ link, mode, mtime, sha256, size, type }: NonNullable<DirectoryItem["entry"]>) {
  const modified = fileDate(mtime)
  return {
    mode: mode.toString(8).padStart(4, "0"),
    ...(modified === null ? {} : { modified: modified.toISOString() }),
    ...(type === "file" ? { size, digest: `sha256:${sha256}` } : {}),
    ...(link === "" ? {} : { target: displayed(link) }),
  }
}
