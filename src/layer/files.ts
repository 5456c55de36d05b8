import { LRUCache } from "lru-cache"
import { digestOf } from "../oci/digest.ts"
import { generatedLayer } from "./generated.ts"
import { importLayer, layerFault, type Workshop } from "./import-layer.ts"
import type { LayerFacts } from "./inspect.ts"
import type { Contribution, LayerRequest, LayerSource } from "./layer.ts"
import { type TarItem, tarStream } from "./tar-stream.ts"

type FilesRequest = Extract<LayerRequest, { kind: "files" }>

/** Files whose content stands in the spec. */
export class FilesLayerSource implements LayerSource<FilesRequest> {
  readonly kind = "files"
  readonly #workshop: Workshop
  readonly #known = new LRUCache<string, LayerFacts>({ max: 1000 })

  constructor(workshop: Workshop) {
    this.#workshop = workshop
  }

  async contribute({ files, text }: FilesRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    const items = filesToItems(files)
    const key = digestOf(JSON.stringify([...files]))
    try {
      const facts = this.#known.get(key) ?? (await importLayer(this.#workshop.openSpool, tarStream(items)))
      this.#known.set(key, facts)
      return generatedLayer({
        facts,
        text: `files ${text}`,
        generate: async () => tarStream(items),
        isCurrent: () => true,
      })
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(`files ${text}`, error)
    }
  }
}

/**
 * Directories are left out, as nothing is known of those that the image has. Whoever unpacks makes the missing ones;
 * where layers are unpacked apart from each other, a symlink such as /bin becomes a directory (docs/specs.md).
 */
function filesToItems(files: ReadonlyMap<string, string>): readonly TarItem[] {
  const encoder = new TextEncoder()
  const items = [...files].map(([path, text]): TarItem => {
    const content = encoder.encode(text)
    const relative = path.replace(/^\/+/, "")
    const entry = { type: "file", path: relative, mode: 0o644, size: content.byteLength, target: "" } as const
    return { entry, open: () => [content] }
  })
  return items.toSorted((one, other) => (one.entry.path < other.entry.path ? -1 : 1))
}
