import { readFile } from "node:fs/promises"
import { LayerIndex } from "../archive/layer-index.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { digestOf, isDigest } from "../oci/digest.ts"
import { OCTET_STREAM } from "../oci/media-type.ts"
import { type BlobStore, StoreBypass } from "../store/store.ts"
import { type Pack, PackGone, type PackReader, readFrames, refersToLayer } from "./pack.ts"
import { StoredFile } from "./stored-file.ts"

/** A scanned layer: its index in memory, and where its contents are. */
export interface KeptLayer {
  readonly index: LayerIndex
  readonly pack: Pack
}

export interface Scanned {
  readonly index: LayerIndex
  readonly bytes: Uint8Array
  readonly pack: Descriptor
}

export interface KeptLayersOptions {
  readonly store: BlobStore
  /** Which index and which pack belong to a layer, by the scope in which it is shared. */
  readonly facts: KeyValue
}

/** Of the index of the largest layer that is scanned. */
const MAX_INDEX_BYTES = 512 * 1024 * 1024

/** What scans have found, kept in the store as any other content: verified when read, and evicted when room is needed. */
export class KeptLayers {
  readonly #options: KeptLayersOptions

  constructor(options: KeptLayersOptions) {
    this.#options = options
  }

  /** Null: the layer has to be scanned. */
  async find(layer: Descriptor, scope: string, signal: AbortSignal): Promise<KeptLayer | null> {
    const known = parseFact(await this.#options.facts.get(scope))
    if (known === null || !(await this.#has(known.pack, signal))) return null
    const bytes = await this.#read(known.index, signal)
    const index = bytes === null ? null : readIndex(bytes)
    if (index === null || (refersToLayer(index.frames) && !(await this.#has(layer, signal)))) return null
    return { index, pack: this.#pack(index, known.pack, layer) }
  }

  /**
   * Keeps what a scan has found; the pack is in the store already, and the layer where the pack refers to it. Without room
   * for the index, this process alone knows it.
   */
  async keep(layer: Descriptor, scope: string, { index, bytes, pack }: Scanned): Promise<KeptLayer> {
    try {
      await this.#write(scope, bytes, pack)
    } catch (error) {
      if (!(error instanceof StoreBypass)) throw error // the store has told why
    }
    return { index, pack: this.#pack(index, pack, layer) }
  }

  async #write(scope: string, index: Uint8Array, pack: Descriptor): Promise<void> {
    const bytes = Bun.zstdCompressSync(index)
    const descriptor = { mediaType: OCTET_STREAM, digest: digestOf(bytes), size: bytes.byteLength }
    const spool = await this.#options.store.spool(descriptor.size)
    try {
      await spool.write(bytes)
      await spool.keep(descriptor)
    } finally {
      await spool.close()
    }
    await this.#options.facts.set(scope, [descriptor, pack].map(({ digest, size }) => `${digest} ${size}`).join(" "))
  }

  async #has(descriptor: Descriptor, signal: AbortSignal): Promise<boolean> {
    return descriptor.size === 0 || (await this.#options.store.find(descriptor, signal)) !== null
  }

  async #read(descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array | null> {
    if (descriptor.size > MAX_INDEX_BYTES) return null
    const found = await this.#options.store.find(descriptor, signal)
    const bytes = found?.kind === "file" ? await readFile(found.path).catch(() => null) : null
    return bytes !== null && digestOf(bytes) === descriptor.digest ? bytes : null
  }

  #pack({ frames }: LayerIndex, pack: Descriptor, layer: Descriptor): Pack {
    const needed = refersToLayer(frames) ? layer : null
    const open = async (signal: AbortSignal): Promise<PackReader> => {
      const file = await this.#open(pack, signal)
      try {
        const source = needed === null ? null : await this.#open(needed, signal)
        const close = async () => void (await Promise.all([file.close(), source?.close()]))
        return readFrames(frames, { pack: file, layer: source }, close)
      } catch (error) {
        await file.close()
        throw error
      }
    }
    return { open }
  }

  async #open(descriptor: Descriptor, signal: AbortSignal): Promise<StoredFile> {
    let found = await this.#options.store.find(descriptor, signal)
    // Large ones are given before they are checked completely, but nothing is read from the middle of those
    while (found !== null && found.kind !== "file") found = await this.#options.store.find(descriptor, signal)
    if (found !== null) return await StoredFile.open(found)
    throw new PackGone(`The content with the digest ${descriptor.digest} is no longer in the store`)
  }
}

/** Null: it was written by another version. */
function readIndex(bytes: Uint8Array): LayerIndex | null {
  try {
    return new LayerIndex(new Uint8Array(Bun.zstdDecompressSync(bytes)))
  } catch {
    return null
  }
}

function parseFact(text: string | null): { readonly index: Descriptor; readonly pack: Descriptor } | null {
  const [indexDigest = "", indexSize, packDigest = "", packSize] = text?.split(" ") ?? []
  if (!isDigest(indexDigest) || !isDigest(packDigest)) return null
  return {
    index: { mediaType: OCTET_STREAM, digest: indexDigest, size: Number(indexSize) },
    pack: { mediaType: OCTET_STREAM, digest: packDigest, size: Number(packSize) },
  }
}
