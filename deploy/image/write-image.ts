import { chmod, copyFile, mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { digestOf } from "../../src/oci/digest.ts"
import { type Architecture, debianRoot } from "./debian-root.ts"
import { run } from "./run.ts"

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

interface Layer extends Descriptor {
  readonly diffID: string
}

export interface ImageOptions {
  /** An OCI image layout; made anew. */
  readonly dir: string
  /** The program for each architecture. */
  readonly binaries: Readonly<Record<Architecture, string>>
  readonly version: string
  readonly commit: string
}

const INDEX = "application/vnd.oci.image.index.v1+json"
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"
const CONFIG = "application/vnd.oci.image.config.v1+json"
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
const PROGRAM = "app/registry-facade"

/**
 * Writes the container image for all architectures as an OCI layout, without any daemon: the files of a few Debian
 * packages, and the program. The same inputs give the same digests. Gives the digest of the index.
 */
export async function writeImage({ dir, binaries, ...stamp }: ImageOptions): Promise<string> {
  await rm(dir, { recursive: true, force: true })
  await mkdir(join(dir, "blobs/sha256"), { recursive: true })
  await Bun.write(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  const work = await mkdtemp(join(tmpdir(), "registry-facade-image-"))
  try {
    const manifests = []
    for (const architecture of ["amd64", "arm64"] as const) {
      const root = await mkdirAt(work, `root-${architecture}`)
      await debianRoot(architecture, root, work)
      const base = await writeLayer(dir, root, work)
      const program = await mkdirAt(work, `program-${architecture}`)
      await mkdirAt(program, "app")
      await copyFile(binaries[architecture], join(program, PROGRAM))
      await chmod(join(program, PROGRAM), 0o755)
      const layers = [base, await writeLayer(dir, program, work)]
      manifests.push({ ...(await writeManifest(dir, architecture, layers, stamp)), platform: platformOf(architecture) })
    }
    const index = await writeJson(dir, INDEX, { schemaVersion: 2, mediaType: INDEX, manifests })
    const annotations = { "org.opencontainers.image.ref.name": "latest" }
    const entry = { schemaVersion: 2, mediaType: INDEX, manifests: [{ ...index, annotations }] }
    await Bun.write(join(dir, "index.json"), JSON.stringify(entry))
    return index.digest
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

const platformOf = (architecture: Architecture) => ({
  architecture,
  os: "linux",
  ...(architecture === "arm64" ? { variant: "v8" } : {}),
})

async function mkdirAt(parent: string, name: string): Promise<string> {
  const path = join(parent, name)
  await mkdir(path, { recursive: true, mode: 0o755 })
  return path
}

async function writeLayer(dir: string, root: string, work: string): Promise<Layer> {
  const file = join(work, "layer.tar")
  const fixed = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--format=posix"]
  const plain = ["--pax-option=delete=atime,delete=ctime,delete=mtime", "-C", root, "-cf", file, "."]
  await run(["tar", ...fixed, ...plain])
  const tar = await Bun.file(file).bytes()
  const diffID = digestOf(tar, "sha256")
  await run(["gzip", "-n", "-6", "-f", file])
  return { ...(await writeBlob(dir, LAYER, await Bun.file(`${file}.gz`).bytes())), diffID }
}

async function writeManifest(
  dir: string,
  architecture: Architecture,
  layers: readonly Layer[],
  { version, commit }: Pick<ImageOptions, "version" | "commit">,
): Promise<Descriptor> {
  const config = await writeJson(dir, CONFIG, {
    created: "1970-01-01T00:00:00Z",
    ...platformOf(architecture),
    config: {
      User: "65532:65532",
      Env: ["PATH=/app", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
      Entrypoint: [`/${PROGRAM}`],
      Cmd: ["run", "/config/config.json"],
      WorkingDir: "/",
      ExposedPorts: { "31750/tcp": {} },
      Labels: {
        "org.opencontainers.image.title": "registry-facade",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.licenses": "Apache-2.0",
      },
    },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffID }) => diffID) },
    history: [
      { created: "1970-01-01T00:00:00Z", created_by: "base files of Debian" },
      { created: "1970-01-01T00:00:00Z", created_by: `registry-facade ${version}` },
    ],
  })
  const descriptors = layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size }))
  return await writeJson(dir, MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config, layers: descriptors })
}

async function writeJson(dir: string, mediaType: string, value: unknown): Promise<Descriptor> {
  return await writeBlob(dir, mediaType, new TextEncoder().encode(JSON.stringify(value)))
}

async function writeBlob(dir: string, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const digest = digestOf(bytes, "sha256")
  await Bun.write(join(dir, "blobs/sha256", digest.slice("sha256:".length)), bytes)
  return { mediaType, digest, size: bytes.byteLength }
}
