import {
  type Content,
  content,
  descriptor,
  jsonContent,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  sha256,
} from "../helpers/images.ts"
import { createRandom, type Random } from "./random.ts"

/** Everything that exists upstream; known here byte for byte. */
export interface Universe {
  readonly seed: number
  readonly names: readonly UniverseName[]
  readonly blobs: ReadonlyMap<string, UniverseBlob>
  /** By `repository/reference`. */
  readonly manifests: ReadonlyMap<string, Content>
  /** The user of the upstream, whose password must reach nobody else. */
  readonly username: string
  readonly password: string
}

export interface UniverseName {
  readonly name: string
  readonly repository: string
  readonly layers: readonly UniverseBlob[]
  /** Digests of its manifests, the root among them. */
  readonly manifests: readonly string[]
  readonly config: string
}

export interface UniverseBlob extends Content {
  /** What the upstream sends is always wrong, so that it must never be completed. */
  readonly isPoisoned: boolean
}

export interface UniverseOptions {
  readonly seed: number
  readonly names: number
  readonly layersPerName: number
  /** Large enough that bytes leave before the whole is verified. */
  readonly largeBytes: number
}

/** Sizes at which things go wrong: empty, around blocks, around chunks. */
const SIZES = [0, 1, 2, 511, 512, 4095, 4096, 4097, 65_535, 65_536, 65_537, 131_072]
/** One blob in so many is large. */
const LARGE_SHARE = 20
const POOL_BYTES = 1024 * 1024

export function createUniverse({ seed, names, layersPerName, largeBytes }: UniverseOptions): Universe {
  const random = createRandom(seed, "universe")
  const blobs = new Map<string, UniverseBlob>()
  const manifests = new Map<string, Content>()
  const pool = createPool(random)
  const made = Array.from({ length: names }, (_, index): UniverseName => {
    const repository = `lab/image${index}`
    const layers = Array.from({ length: layersPerName }, () => createBlob(random, pool, largeBytes))
    for (const layer of layers) blobs.set(layer.digest, blobs.get(layer.digest) ?? layer)
    const documents = addImage({ repository, layers, index, isIndex: random.below(4) === 0 }, { blobs, manifests })
    return {
      name: `fixed/chaos${index}`,
      repository,
      layers: layers.map((layer) => blobs.get(layer.digest) ?? layer),
      ...documents,
    }
  })
  const secret = sha256(`secret ${seed}`).slice(7, 39)
  return { seed, names: made, blobs, manifests, username: "puller", password: `canary-${secret}` }
}

function createBlob(random: Random, pool: Uint8Array, largeBytes: number): UniverseBlob {
  const size = random.below(LARGE_SHARE) === 0 ? largeBytes + random.below(50_000) : random.pick(SIZES)
  const isPoisoned = size > 4096 && random.below(40) === 0
  const start = random.below(pool.byteLength - size)
  const bytes = pool.slice(start, start + size)
  if (size > 8) new DataView(bytes.buffer).setUint32(0, random.below(2 ** 32)) // no two are the same
  return { ...content(`${OCI_LAYER}+gzip`, bytes), isPoisoned }
}

/** Bytes without a pattern, from which every blob is a piece. */
function createPool(random: Random): Uint8Array {
  const pool = new Uint8Array(POOL_BYTES)
  let state = random.below(2 ** 32)
  for (let offset = 0; offset < pool.byteLength; offset += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    pool[offset] = state >>> 24
  }
  return pool
}

interface NewImage {
  readonly repository: string
  readonly layers: readonly Content[]
  readonly index: number
  readonly isIndex: boolean
}

interface Shelves {
  readonly blobs: Map<string, UniverseBlob>
  readonly manifests: Map<string, Content>
}

function addImage(
  { repository, layers, index, isIndex }: NewImage,
  { blobs, manifests }: Shelves,
): Pick<UniverseName, "manifests" | "config"> {
  const config = jsonContent(OCI_CONFIG, {
    architecture: "amd64",
    os: "linux",
    config: { Env: [`IMAGE=${index}`] },
    rootfs: { type: "layers", diff_ids: layers.map((_, place) => sha256(`${repository} ${place}`)) },
  })
  blobs.set(config.digest, { ...config, isPoisoned: false })
  const manifest = jsonContent(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(config),
    layers: layers.map(descriptor),
  })
  manifests.set(`${repository}/${manifest.digest}`, manifest)
  if (!isIndex) {
    manifests.set(`${repository}/1`, manifest)
    return { manifests: [manifest.digest], config: config.digest }
  }
  const platform = { architecture: "amd64", os: "linux" }
  const list = jsonContent(OCI_INDEX, {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [{ ...descriptor(manifest), platform }],
  })
  manifests.set(`${repository}/1`, list)
  manifests.set(`${repository}/${list.digest}`, list)
  return { manifests: [list.digest, manifest.digest], config: config.digest }
}
