import { LRUCache } from "lru-cache"
import type { LayerEntry } from "../archive/layer-entry.ts"
import type { BlobSource, BytesBlob, LocatedBlob, StreamBlob } from "../blob/blob.ts"
import type { Downloads } from "../blob/downloads.ts"
import type { Clock } from "../lib/clock.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { type Digest, digestOf, parseDigest } from "../oci/digest.ts"
import { OCTET_STREAM } from "../oci/media-type.ts"
import type { BlobStore } from "../store/store.ts"
import type { OpenLayer } from "./open-layer.ts"
import { type Pack, PackGone, packStream, readPack } from "./pack.ts"

export interface ContentsOptions {
  readonly store: BlobStore
  /** Takes larger files out of packs, into files of the store. */
  readonly downloads: Downloads
  /** For small files. */
  readonly memoryBytes: number
  /** How long a small file is still read that nobody waits for any more. */
  readonly lingerMs: number
  readonly clock: Clock
  /** Ends what goes on without anybody who waits. */
  readonly background: AbortSignal
}

/** Files up to this size are sent from memory; larger ones by the kernel, from a file of their own. */
const SMALL_BYTES = 64 * 1024

/** The contents of files, by their digest: the same file of another layer, or another image, is the same content. */
export class Contents {
  readonly #options: ContentsOptions
  readonly #small: LRUCache<Digest, BytesBlob>
  /** By layer, of one source, and digest: where one has a file at hand, another may have it at the end of gigabytes. */
  readonly #reads: SingleFlight<string, BytesBlob>

  constructor(options: ContentsOptions) {
    const { background, clock, lingerMs } = options
    this.#options = options
    this.#reads = new SingleFlight(async () => await clock.sleep(lingerMs, background).catch(() => {}))
    this.#small = new LRUCache({
      maxSize: options.memoryBytes,
      sizeCalculation: ({ bytes }) => bytes.byteLength + 512,
    })
  }

  /** Rejects with PackGone when the layer has to be scanned again. */
  async locate(entry: LayerEntry, layer: OpenLayer, signal: AbortSignal): Promise<LocatedBlob> {
    const descriptor = describe(entry)
    const known = this.#small.get(descriptor.digest)
    if (known !== undefined) return known
    if (entry.size <= SMALL_BYTES) {
      const read = async (reading: AbortSignal) => await this.#read(entry, descriptor, { layer, signal: reading })
      return await this.#reads.run(`${layer.id} ${descriptor.digest}`, read, signal)
    }
    if (!layer.isVerified) return streamBlob(entry, descriptor, layer)
    const file = this.#options.store.findVerified(descriptor)
    if (file !== null) return file
    await withPack(layer, async (pack) => await (await pack.open(signal)).close())
    return this.#cold(entry, descriptor, layer)
  }

  async #read(entry: LayerEntry, descriptor: Descriptor, { layer, signal }: Place): Promise<BytesBlob> {
    const range = { start: entry.offset, end: entry.offset + entry.size }
    const bytes =
      entry.size === 0 ? new Uint8Array(0) : await withPack(layer, async (pack) => await readPack(pack, range, signal))
    if (digestOf(bytes) !== descriptor.digest) throw new Error("A pack does not hold what its index says")
    const blob = { kind: "bytes", descriptor, bytes } as const
    this.#small.set(descriptor.digest, blob)
    return blob
  }

  #cold(entry: LayerEntry, descriptor: Descriptor, layer: OpenLayer): LocatedBlob {
    const { downloads, store } = this.#options
    const source: BlobSource = {
      name: "disk",
      origin: "a pack of the store",
      identity: `${layer.id}`,
      find: async () => streamBlob(entry, descriptor, layer),
    }
    const cold = downloads.cold(descriptor, [source])
    return { ...cold, obtain: async (signal) => (await store.find(descriptor, signal)) ?? (await cold.obtain(signal)) }
  }
}

interface Place {
  readonly layer: OpenLayer
  readonly signal: AbortSignal
}

const describe = ({ sha256, size }: LayerEntry): Descriptor => ({
  mediaType: OCTET_STREAM,
  digest: parseDigest(`sha256:${sha256}`),
  size,
})

function streamBlob({ offset }: LayerEntry, descriptor: Descriptor, layer: OpenLayer): StreamBlob {
  return {
    kind: "stream",
    descriptor,
    open: async ({ start, end }, signal) =>
      await withPack(
        layer,
        async (pack) => await packStream(pack, { start: offset + start, end: offset + end }, signal),
      ),
  }
}

/** A layer that is complete has its contents elsewhere than one that is scanned; what is where in them stays the same. */
async function withPack<Result>(layer: OpenLayer, use: (pack: Pack) => Promise<Result>): Promise<Result> {
  const { pack } = layer
  if (pack === null) throw new PackGone("The contents of a layer are not there any more")
  try {
    return await use(pack)
  } catch (error) {
    if (!(error instanceof PackGone) || layer.pack === pack) throw error
    return await withPack(layer, use)
  }
}
