import { join } from "node:path"
import { type Digest, digestAlgorithm, digestHex, isDigest } from "../oci/digest.ts"

/**
 * The layout of a disk store. A later layout gets another directory beside `v1`, so no version ever reads, or deletes,
 * what another one wrote.
 *
 *     <root>/v1/
 *       layout                      "registry-facade store 1"; anything else is left alone
 *       blobs/sha256/ab/<hex>       content, complete and verified; read-only, never changed, removed only by unlink
 *       tmp/<process>/<random>      content on its way in
 *       tmp/<process>.lock          locked as long as that process lives
 *       bad/<hex>.<random>          files whose content was not what their name says
 *       facts/<kind>/ab/<hex>       what was found out about content, with a checksum
 *       images/<name>/<root>.json   which images were served lately; the time of the file tells when
 */
export class DiskPaths {
  readonly root: string
  readonly layout: string
  readonly blobs: string
  readonly tmp: string
  readonly bad: string
  readonly images: string
  readonly facts: string

  constructor(root: string) {
    this.root = join(root, "v1")
    this.layout = join(this.root, "layout")
    this.blobs = join(this.root, "blobs")
    this.tmp = join(this.root, "tmp")
    this.bad = join(this.root, "bad")
    this.images = join(this.root, "images")
    this.facts = join(this.root, "facts")
  }

  shard(digest: Digest): string {
    return `${this.blobs}/${digestAlgorithm(digest)}/${digestHex(digest).slice(0, 2)}`
  }

  blob(digest: Digest): string {
    return `${this.shard(digest)}/${digestHex(digest)}`
  }

  /** The other way round, for who walks the directory. Null: no file of ours. */
  digestOf(algorithm: string, file: string): Digest | null {
    const text = `${algorithm}:${file}`
    return isDigest(text) ? text : null
  }

  fact(kind: string, hex: string): string {
    return join(this.facts, kind, hex.slice(0, 2), hex)
  }
}
