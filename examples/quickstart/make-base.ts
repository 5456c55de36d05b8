import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { digestOf } from "../../src/oci/digest.ts"
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../src/oci/media-type.ts"
import { TAR_END, tarHeader, tarPadding } from "../../src/oci/tar.ts"
import { showProgram } from "./show-program.ts"

/** Makes the base of the sample image: `bun examples/quickstart/make-base.ts` writes it to `base` beside this file. */
const BASE = join(import.meta.dir, "base")
const ARCHITECTURES = ["amd64", "arm64"] as const
const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
const CREATED = "2025-01-01T00:00:00Z"
const MOTD = "This file is part of the base image.\n"

/** The files of an OCI image layout (image-spec: image-layout.md) by path; always the same bytes. */
export function baseLayout(): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  const index = add(files, OCI_INDEX, {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: ARCHITECTURES.map((architecture) => ({
      ...addImage(files, architecture),
      platform: { architecture, os: "linux" },
    })),
  })
  const named = { ...index, annotations: { "org.opencontainers.image.ref.name": "latest" } }
  files.set("index.json", json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [named] }))
  files.set("oci-layout", json({ imageLayoutVersion: "1.0.0" }))
  return files
}

function addImage(files: Map<string, Uint8Array>, architecture: (typeof ARCHITECTURES)[number]) {
  const layer = addBytes(files, OCI_LAYER, layerTar(architecture))
  const config = add(files, OCI_CONFIG, {
    created: CREATED,
    architecture,
    os: "linux",
    config: {
      Env: ["PATH=/bin", "GREETING=Hello from the base image."],
      Entrypoint: ["/bin/show"],
      Cmd: ["/etc/motd"],
      WorkingDir: "/",
    },
    rootfs: { type: "layers", diff_ids: [layer.digest] },
    history: [{ created: CREATED, created_by: "examples/quickstart/make-base.ts" }],
  })
  return add(files, OCI_MANIFEST, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] })
}

/** Uncompressed, because compressors change from version to version. */
function layerTar(architecture: (typeof ARCHITECTURES)[number]): Uint8Array {
  return Buffer.concat([
    directory("bin"),
    file("bin/show", 0o755, showProgram(architecture)),
    directory("etc"),
    file("etc/motd", 0o644, new TextEncoder().encode(MOTD)),
    TAR_END,
  ])
}

const directory = (path: string): Uint8Array => tarHeader({ type: "directory", path, mode: 0o755, size: 0, target: "" })

const file = (path: string, mode: number, content: Uint8Array): Uint8Array =>
  Buffer.concat([
    tarHeader({ type: "file", path, mode, size: content.byteLength, target: "" }),
    content,
    tarPadding(content.byteLength),
  ])

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

const add = (files: Map<string, Uint8Array>, mediaType: string, value: unknown) =>
  addBytes(files, mediaType, json(value))

function addBytes(files: Map<string, Uint8Array>, mediaType: string, bytes: Uint8Array) {
  const digest = digestOf(bytes)
  files.set(`blobs/${digest.replace(":", "/")}`, bytes)
  return { mediaType, digest, size: bytes.byteLength }
}

if (import.meta.main) {
  rmSync(BASE, { recursive: true, force: true })
  for (const [path, bytes] of baseLayout()) {
    mkdirSync(dirname(join(BASE, path)), { recursive: true })
    writeFileSync(join(BASE, path), bytes)
  }
  console.log(`Written: ${BASE}`)
}
