import { closeSync, mkdirSync, openSync, renameSync, truncateSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { image, layer, opaqueLayer, type TestImage, type TestLayer } from "../test/helpers/images.ts"
import type { Plan } from "./plan.ts"

export interface FileContent {
  readonly digest: string
  readonly size: number
}

/** What all contenders serve. */
export interface Material {
  /** Holds `blobs/<hex>`, `manifests/<name>` and `files/<name>`: the directory that nginx serves. */
  readonly dir: string
  readonly small: readonly FileContent[]
  readonly big: FileContent
  readonly huge: FileContent
  /** An image like many, with a dozen layers. */
  readonly app: TestImage
  /** An image that has all the blobs. */
  readonly shelf: TestImage
  /** Names of the files in the image `site`. */
  readonly smallFiles: readonly string[]
  readonly largeFiles: readonly string[]
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
  const smallFiles = textFiles("small", plan.smallFiles, plan.smallFileBytes)
  const largeFiles = textFiles("large", plan.largeFiles, plan.largeFileBytes)
  const files = { ...smallFiles, ...largeFiles }
  const site = await image({ layers: [await layer(files)] })
  mkdirSync(join(dir, "files"))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, "files", name), text)
  for (const blob of [...app.blobs, ...small, shelf.config, ...site.blobs])
    writeFileSync(blobFile(dir, blob.digest), blob.bytes)
  for (const [name, { manifest }] of Object.entries({ app, shelf, site })) {
    writeFileSync(join(dir, "manifests", name), manifest.bytes)
    writeFileSync(join(dir, "manifests", manifest.digest), manifest.bytes)
  }
  const names = { smallFiles: Object.keys(smallFiles), largeFiles: Object.keys(largeFiles) }
  return { dir, small, big, huge, app, shelf, ...names }
}

/** By name; no two are the same. */
function textFiles(kind: string, count: number, size: number): Readonly<Record<string, string>> {
  const text = Buffer.from(opaqueLayer(size).bytes).toString("base64")
  const files = Array.from({ length: count }, (_, index) => [`${kind}${index}.js`, `${index} ${text}`.slice(0, size)])
  return Object.fromEntries(files)
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
