import { open, readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import type { BlobSource, StreamBlob } from "../blob/blob.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { type Digest, digestAlgorithm, digestHex, digestOf } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { asObject, asString, getMember, parseJson } from "../oci/json.ts"
import { type DescriptorNode, MAX_MANIFEST_BYTES, manifestBlob, parseManifest } from "../oci/manifest.ts"
import { OCI_INDEX } from "../oci/media-type.ts"
import { formatReference, type LayoutReference } from "../oci/reference.ts"
import { errorText } from "../telemetry/log.ts"
import type { StoredReference, TagAnswer, Upstream } from "./upstream.ts"

const REF_NAME = "org.opencontainers.image.ref.name"

/** Images in OCI image layouts on disk (image-spec: image-layout.md). */
export class LayoutUpstream implements Upstream {
  async resolve(reference: StoredReference): Promise<JsonBlob | null> {
    const layout = onlyLayout(reference)
    const index = await readIndex(layout)
    const entry = findEntry(layout, index)
    if (entry === "index") return index
    return entry === null ? null : await this.manifest(layout, entry.descriptor.digest)
  }

  async head(reference: StoredReference): Promise<TagAnswer> {
    const image = await this.resolve(reference)
    return image?.descriptor.digest ?? "gone"
  }

  async manifest(reference: StoredReference, digest: Digest): Promise<JsonBlob | null> {
    const layout = onlyLayout(reference)
    const bytes = await readDocument(layout, blobPath(layout.dir, digest))
    if (bytes === null) return null
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest)
      throw invalid(layout, `the file of ${digest} holds other bytes`)
    try {
      const blob = manifestBlob(bytes, null)
      return { ...blob, descriptor: { ...blob.descriptor, digest } }
    } catch (error) {
      throw invalid(layout, `${digest} is no manifest: ${errorText(error)}`, error)
    }
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    const { dir } = onlyLayout(reference)
    const find = async (descriptor: Descriptor): Promise<StreamBlob | null> => {
      const path = blobPath(dir, descriptor.digest)
      const found = await stat(path).catch(() => null)
      if (found === null || found.size !== descriptor.size) return null
      const open: StreamBlob["open"] = async ({ start, end }) => Bun.file(path).slice(start, end).stream()
      return { kind: "stream", descriptor, open }
    }
    return [{ name: "upstream", origin: `oci:${dir}`, find }]
  }
}

const blobPath = (dir: string, digest: Digest): string => join(dir, "blobs", digestAlgorithm(digest), digestHex(digest))

function onlyLayout(reference: StoredReference): LayoutReference {
  if (reference.kind === "layout") return reference
  throw new TypeError(`Cannot read ${formatReference(reference)} from a layout`)
}

const invalid = (layout: LayoutReference, reason: string, cause?: unknown): RegistryError =>
  new RegistryError("MANIFEST_INVALID", `Cannot read ${formatReference(layout)}: ${reason}`, { status: 502, cause })

async function readIndex(layout: LayoutReference): Promise<JsonBlob> {
  const marker = await readFile(join(layout.dir, "oci-layout")).catch(() => null)
  const version = marker === null ? null : asString(getMember(asObject(safeJson(marker)), "imageLayoutVersion"))
  if (version === null)
    throw invalid(layout, "the directory is no OCI image layout, its file oci-layout is missing or broken")
  const bytes = await readDocument(layout, join(layout.dir, "index.json"))
  if (bytes === null) throw invalid(layout, "its file index.json is missing")
  try {
    return manifestBlob(bytes, OCI_INDEX)
  } catch (error) {
    throw invalid(layout, `its file index.json is broken: ${errorText(error)}`, error)
  }
}

function safeJson(bytes: Uint8Array) {
  try {
    return parseJson(bytes)
  } catch {
    return null
  }
}

/** Without a tag, a layout means its only image; several unnamed ones are the platforms of one image. */
function findEntry(layout: LayoutReference, index: JsonBlob): DescriptorNode | "index" | null {
  const parsed = parseManifest(index)
  const entries = parsed.kind === "index" ? parsed.manifests : []
  const named = (entry: DescriptorNode) => entry.descriptor.annotations?.[REF_NAME] ?? null
  if (layout.tag !== null) return entries.find((entry) => named(entry) === layout.tag) ?? null
  if (entries.length <= 1) return entries[0] ?? null
  const names = entries.map(named).filter((name) => name !== null)
  if (names.length === 0) return "index"
  throw invalid(layout, `it holds several images, say which one with oci:DIR:<tag>: ${names.slice(0, 10).join(", ")}`)
}

/** Null: there is no such file. */
async function readDocument(layout: LayoutReference, path: string): Promise<Uint8Array<ArrayBuffer> | null> {
  const file = await open(path).catch((error) => {
    if (error.code === "ENOENT") return null
    throw invalid(layout, errorText(error), error)
  })
  if (file === null) return null
  try {
    if ((await file.stat()).size > MAX_MANIFEST_BYTES)
      throw invalid(layout, `${path} is larger than ${MAX_MANIFEST_BYTES} bytes`)
    return new Uint8Array(await file.readFile())
  } catch (error) {
    throw error instanceof RegistryError ? error : invalid(layout, errorText(error), error)
  } finally {
    await file.close()
  }
}
