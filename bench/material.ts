import { closeSync, mkdirSync, openSync, renameSync, truncateSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { image, opaqueLayer, type TestImage, type TestLayer } from "../test/helpers/images.ts"
import type { Plan } from "./plan.ts"

export interface FileContent {
  readonly digest: string
  readonly size: number
}

/** What all contenders serve. */
export interface Material {
  /** Holds `blobs/<hex>`, and `manifests/<name>`: the directory that nginx serves. */
  readonly dir: string
  readonly small: readonly FileContent[]
  readonly big: FileContent
  readonly huge: FileContent
  /** An image like many, with a dozen layers. */
  readonly app: TestImage
  /** An image that has all the blobs. */
  readonly shelf: TestImage
}

const APP_LAYERS = 12
const MIB = 1024 * 1024

export async function makeMaterial(dir: string, plan: Plan): Promise<Material> {
  mkdirSync(join(dir, "blobs"), { recursive: true })
  mkdirSync(join(dir, "manifests"))
  const small = Array.from({ length: plan.smallBlobs }, (_, index) => opaqueLayer(plan.smallBytes, index + 1))
  const app = await image({ layers: Array.from({ length: APP_LAYERS }, (_, index) => opaqueLayer(4096, 1000 + index)) })
  const big = largeFile(dir, plan.bigBytes, Math.random())
  const huge = sparseFile(dir, plan.hugeBytes)
  const template = opaqueLayer(0)
  const shelf = await image({ layers: [...small, ...[big, huge].map((file): TestLayer => ({ ...template, ...file }))] })
  for (const blob of [...app.blobs, ...small, shelf.config]) writeFileSync(blobFile(dir, blob.digest), blob.bytes)
  for (const [name, { manifest }] of Object.entries({ app, shelf })) {
    writeFileSync(join(dir, "manifests", name), manifest.bytes)
    writeFileSync(join(dir, "manifests", manifest.digest), manifest.bytes)
  }
  return { dir, small, big, huge, app, shelf }
}

export const blobFile = (dir: string, digest: string): string => join(dir, "blobs", digest.replace(/^sha256:/, ""))

/** Every block is different, so that nothing below can take two for one. */
function largeFile(dir: string, size: number, salt: number): FileContent {
  const draft = join(dir, "draft")
  const file = openSync(draft, "w")
  const hasher = new Bun.CryptoHasher("sha256")
  const block = new Uint8Array(opaqueLayer(MIB).bytes)
  for (let offset = 0; offset < size; offset += MIB) {
    new DataView(block.buffer).setFloat64(0, salt + offset)
    const piece = block.subarray(0, size - offset)
    hasher.update(piece)
    for (let done = 0; done < piece.byteLength; ) done += writeSync(file, piece, done)
  }
  closeSync(file)
  return named(dir, draft, hasher, size)
}

/** Zeros that take no room on the disk. */
function sparseFile(dir: string, size: number): FileContent {
  const draft = join(dir, "draft")
  writeFileSync(draft, "")
  truncateSync(draft, size)
  const hasher = new Bun.CryptoHasher("sha256")
  const zeros = new Uint8Array(MIB)
  for (let offset = 0; offset < size; offset += MIB) hasher.update(zeros.subarray(0, size - offset))
  return named(dir, draft, hasher, size)
}

function named(dir: string, draft: string, hasher: Bun.CryptoHasher, size: number): FileContent {
  const digest = `sha256:${hasher.digest("hex")}`
  renameSync(draft, blobFile(dir, digest))
  return { digest, size }
}
