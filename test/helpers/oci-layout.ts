import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { type Content, OCI_INDEX, sha256, type TestImage, type TestIndex } from "./images.ts"

const REF_NAME = "org.opencontainers.image.ref.name"

/** Writes an image as an OCI layout of its own, for clients that push. */
export function writeLayout(dir: string, tag: string, image: TestImage | TestIndex): void {
  const put = (path: string, bytes: Uint8Array | string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), bytes)
  }
  const root = "manifest" in image ? image.manifest : image.index
  for (const { digest, bytes } of [root, ...contentsOf(image)]) put(blobPath(digest), bytes)
  const entry = {
    mediaType: root.mediaType,
    digest: root.digest,
    size: root.size,
    annotations: { [REF_NAME]: tag },
  }
  put("index.json", JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }))
  put("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" }))
}

function contentsOf(image: TestImage | TestIndex): readonly Content[] {
  if ("manifest" in image) return [...image.blobs]
  return image.images.flatMap((one) => [one.manifest, ...one.blobs])
}

export const blobPath = (digest: string): string => `blobs/${digest.replace(":", "/")}`

/** A descriptor as manifests and indexes hold it. */
export interface Pointer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: { readonly os: string; readonly architecture: string; readonly variant?: string }
}

export interface ManifestJson {
  readonly mediaType: string
  readonly config: Pointer
  readonly layers: readonly Pointer[]
  readonly manifests?: readonly Pointer[]
  readonly annotations?: Readonly<Record<string, string>>
}

export interface ConfigJson {
  readonly architecture: string
  readonly config: {
    readonly Env?: readonly string[]
    readonly Entrypoint?: readonly string[]
    readonly Cmd?: readonly string[]
    readonly Labels?: Readonly<Record<string, string>>
  }
  readonly rootfs: { readonly diff_ids: readonly string[] }
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[]
}

export interface StoredManifest {
  readonly manifest: ManifestJson
  readonly config: ConfigJson
}

/** The only image of a layout that a client has written, its documents checked against their digests. */
export function readLayout(dir: string): StoredManifest {
  const index: ManifestJson = JSON.parse(readFileSync(join(dir, "index.json"), "utf8"))
  const manifest: ManifestJson = readJson(dir, index.manifests?.[0]?.digest ?? "")
  return { manifest, config: readJson(dir, manifest.config.digest) }
}

function readJson<Value>(dir: string, digest: string): Value {
  const bytes = readFileSync(join(dir, blobPath(digest)))
  if (sha256(bytes) !== digest) throw new Error(`${digest} is not what its name says`)
  return JSON.parse(bytes.toString())
}
