import { gzipSync, zstdCompressSync } from "node:zlib"
import { pack } from "tar-stream"

export const OCI_INDEX = "application/vnd.oci.image.index.v1+json"
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
export const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

export interface Content {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

export interface TestLayer extends Content {
  readonly diffID: string
}

export interface TestImage {
  readonly manifest: Content
  readonly config: Content
  readonly layers: readonly TestLayer[]
  /** Everything that a registry has to hold, manifests apart. */
  readonly blobs: readonly Content[]
}

export interface TestIndex {
  readonly index: Content
  readonly images: readonly TestImage[]
}

export const sha256 = (bytes: Uint8Array | string): string =>
  `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`

export function content(mediaType: string, bytes: Uint8Array | string): Content {
  const copy = new Uint8Array(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes)
  return { mediaType, digest: sha256(copy), size: copy.byteLength, bytes: copy }
}

export const jsonContent = (mediaType: string, value: unknown): Content => content(mediaType, JSON.stringify(value))

export const descriptor = ({ mediaType, digest, size }: Content) => ({ mediaType, digest, size })

/** An archive of small files, by path. */
export async function tar(files: Readonly<Record<string, string>>): Promise<Uint8Array<ArrayBuffer>> {
  const archive = pack()
  for (const [name, text] of Object.entries(files)) archive.entry({ name, mtime: new Date(0) }, text)
  archive.finalize()
  return new Uint8Array(await new Response(archive as unknown as ReadableStream).arrayBuffer())
}

/** A layer in one of the forms that circulate. */
export async function layer(
  files: Readonly<Record<string, string>>,
  form: "gzip" | "zstd" | "plain" | "docker" = "gzip",
): Promise<TestLayer> {
  const plain = await tar(files)
  const diffID = sha256(plain)
  switch (form) {
    case "plain":
      return { ...content(OCI_LAYER, plain), diffID }
    case "zstd":
      return { ...content(`${OCI_LAYER}+zstd`, new Uint8Array(zstdCompressSync(plain))), diffID }
    case "gzip":
      return { ...content(`${OCI_LAYER}+gzip`, new Uint8Array(gzipSync(plain))), diffID }
    case "docker":
      return { ...content(DOCKER_LAYER, new Uint8Array(gzipSync(plain))), diffID }
    default:
      return form satisfies never
  }
}

/** Bytes that nobody looks into, as in a base's layers, all different; another seed gives another digest. */
export function opaqueLayer(size: number, seed = 0): TestLayer {
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let index = 0, state = seed * 2654435761 + 1; index < words.length; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    words[index] = state
  }
  const bytes = new Uint8Array(words.buffer, 0, size)
  return { ...content(`${OCI_LAYER}+gzip`, bytes), diffID: sha256(`${size} ${seed}`) }
}

export interface ImageOptions {
  readonly layers?: readonly TestLayer[]
  readonly architecture?: string
  readonly variant?: string
  readonly family?: "oci" | "docker"
  /** Merged into the config's `config`. */
  readonly settings?: Readonly<Record<string, unknown>>
  /** Merged into the config. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Merged into the manifest. */
  readonly manifest?: Readonly<Record<string, unknown>>
}

export async function image({
  layers,
  architecture = "amd64",
  variant,
  family = "oci",
  settings = {},
  config = {},
  manifest = {},
}: ImageOptions = {}): Promise<TestImage> {
  const used = layers ?? [await layer({ "base.txt": `base ${architecture}` }, family === "docker" ? "docker" : "gzip")]
  const configContent = jsonContent(family === "docker" ? DOCKER_CONFIG : OCI_CONFIG, {
    created: "2024-01-02T03:04:05Z",
    architecture,
    ...(variant === undefined ? {} : { variant }),
    os: "linux",
    config: { Env: ["PATH=/usr/bin:/bin"], Cmd: ["sh"], ...settings },
    rootfs: { type: "layers", diff_ids: used.map(({ diffID }) => diffID) },
    history: used.map((_, index) => ({ created: "2024-01-02T03:04:05Z", created_by: `base layer ${index}` })),
    ...config,
  })
  const type = family === "docker" ? DOCKER_MANIFEST : OCI_MANIFEST
  const manifestContent = jsonContent(type, {
    schemaVersion: 2,
    mediaType: type,
    config: descriptor(configContent),
    layers: used.map(descriptor),
    ...manifest,
  })
  return { manifest: manifestContent, config: configContent, layers: used, blobs: [configContent, ...used] }
}

/** An index of images; each entry may carry more than the platform. */
export function index(
  images: readonly (readonly [TestImage, Readonly<Record<string, unknown>>])[],
  {
    family = "oci",
    extra = {},
  }: { readonly family?: "oci" | "docker"; readonly extra?: Readonly<Record<string, unknown>> } = {},
): TestIndex {
  const mediaType = family === "docker" ? DOCKER_LIST : OCI_INDEX
  const manifests = images.map(([one, entry]) => ({ ...descriptor(one.manifest), ...entry }))
  return {
    index: jsonContent(mediaType, { schemaVersion: 2, mediaType, manifests, ...extra }),
    images: images.map(([one]) => one),
  }
}

export const platform = (architecture: string, variant?: string) => ({
  platform: { architecture, os: "linux", ...(variant === undefined ? {} : { variant }) },
})
