import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs"
import { type FileHandle, open as openFile } from "node:fs/promises"
import { join } from "node:path"
import { writeAtomically } from "../lib/atomic-file.ts"
import { isRecord } from "../lib/record.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { createHasher, digestAlgorithm } from "../oci/digest.ts"
import { OCI_INDEX } from "../oci/media-type.ts"

type Open = (descriptor: Descriptor) => Promise<ReadableStream<Uint8Array>>

interface Entry {
  readonly digest?: unknown
  readonly annotations?: Readonly<Record<string, string>>
}

const REF_NAME = "org.opencontainers.image.ref.name"
const LAYOUT = JSON.stringify({ imageLayoutVersion: "1.0.0" })

/** A directory in which other tools find images (image-spec: image-layout.md). Images that it has already stay. */
export class OciLayout {
  readonly #dir: string

  private constructor(dir: string) {
    this.#dir = dir
  }

  /** Throws when the directory holds something else. */
  static create(dir: string): OciLayout {
    mkdirSync(dir, { recursive: true })
    const others = readdirSync(dir).filter((name) => name !== "blobs")
    if (others.length > 0 && !existsSync(join(dir, "oci-layout")))
      throw new Error(`Cannot write an OCI layout to ${dir}: there is something else in it`)
    writeAtomically(join(dir, "oci-layout"), LAYOUT, 0o644)
    return new OciLayout(dir)
  }

  /** Copies what is not there yet. Rejects, and keeps nothing of it, when the bytes are not those of the descriptor. */
  async add(descriptor: Descriptor, open: Open): Promise<void> {
    const path = this.#path(descriptor)
    if (statSync(path, { throwIfNoEntry: false })?.size === descriptor.size) return
    mkdirSync(join(path, ".."), { recursive: true })
    const temporary = `${path}.${process.pid}.part`
    const file = await openFile(temporary, "w", 0o644)
    try {
      await copy(descriptor, await open(descriptor), file)
      await file.sync()
      renameSync(temporary, path)
    } finally {
      await file.close()
      rmSync(temporary, { force: true })
    }
  }

  /** Makes the tag stand for an image whose blobs have been added. */
  tag({ mediaType, digest, size }: Descriptor, tag: string): void {
    const path = join(this.#dir, "index.json")
    const others = existsSync(path) ? entriesOf(path).filter((entry) => entry.annotations?.[REF_NAME] !== tag) : []
    const entry = { mediaType, digest, size, annotations: { [REF_NAME]: tag } }
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [...others, entry] }
    writeAtomically(path, JSON.stringify(index), 0o644)
  }

  #path({ digest }: Descriptor): string {
    return join(this.#dir, "blobs", ...digest.split(":"))
  }
}

async function copy({ digest }: Descriptor, stream: ReadableStream<Uint8Array>, file: FileHandle): Promise<void> {
  const hasher = createHasher(digestAlgorithm(digest))
  for await (const chunk of stream) {
    hasher.update(chunk)
    await file.writeFile(chunk)
  }
  const found = hasher.digest()
  if (found !== digest) throw new Error(`Cannot write blob ${digest}: its bytes have the digest ${found}`)
}

function entriesOf(path: string): readonly Entry[] {
  const index: unknown = JSON.parse(readFileSync(path, "utf8"))
  const entries = isRecord(index) ? index["manifests"] : null
  if (!Array.isArray(entries)) throw new Error(`Cannot add an image to ${path}: it is no image index`)
  return entries
}
