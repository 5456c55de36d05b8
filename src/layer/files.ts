import { LRUCache } from "lru-cache"
import { SingleFlight } from "../lib/single-flight.ts"
import { digestOf } from "../oci/digest.ts"
import { generatedLayer } from "./generated.ts"
import { HeldContent } from "./held-content.ts"
import { importLayer, layerFault, type Workshop } from "./import-layer.ts"
import type { LayerFacts } from "./inspect.ts"
import type { Contribution, LayerRequest, LayerSource } from "./layer.ts"
import { type TarItem, tarStream } from "./tar-stream.ts"

type FilesRequest = Extract<LayerRequest, { kind: "files" }>

/** Files whose content stands in the spec. */
export class FilesLayerSource implements LayerSource<FilesRequest> {
  readonly kind = "files"
  readonly #workshop: Workshop
  readonly #held: HeldContent<readonly TarItem[]>
  readonly #known = new LRUCache<string, LayerFacts>({ max: 1000 })
  readonly #importing = new SingleFlight<string, LayerFacts>()

  constructor(workshop: Workshop, held = new HeldContent<readonly TarItem[]>()) {
    this.#workshop = workshop
    this.#held = held
  }

  async contribute({ files, text }: FilesRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    const items = filesToItems(files)
    const key = digestOf(JSON.stringify([...files]))
    try {
      const read = (flight: AbortSignal) => importLayer(this.#workshop.openSpool, tarStream(items), flight)
      const facts = this.#known.get(key) ?? (await this.#importing.run(key, read, signal))
      this.#known.set(key, facts)
      this.#held.hold(key, items, facts.size)
      return generatedLayer({
        facts,
        text: `files ${text}`,
        generate: async () => this.#generate(key),
        isCurrent: () => this.#held.has(key),
      })
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(`files ${text}`, error)
    }
  }

  #generate(key: string): ReadableStream<Uint8Array> {
    const items = this.#held.get(key)
    if (items === null) throw new Error("its content is no longer in memory; pull the image again")
    return tarStream(items)
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
