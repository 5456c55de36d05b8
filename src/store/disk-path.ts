import { join } from "node:path"
import { type Digest, digestAlgorithm, digestHex } from "../oci/digest.ts"

/**
 * The layout of a disk store. A later layout gets another directory beside `v1`, so no version ever reads, or deletes,
 * what another one wrote.
 *
 *     <root>/v1/
 *       blobs/sha256/ab/<hex>   content, complete and verified; read-only, never changed, removed only by unlink
 *       tmp/<random>            content on its way in
 *       bad/<hex>.<random>      files whose content was not what their name says
 *       facts/<kind>/ab/<hex>   what was found out about content, with a checksum
 */
export class DiskPaths {
  readonly root: string

  constructor(root: string) {
    this.root = join(root, "v1")
  }

  get tmp(): string {
    return join(this.root, "tmp")
  }

  get bad(): string {
    return join(this.root, "bad")
  }

  get blobs(): string {
    return join(this.root, "blobs")
  }

  shard(digest: Digest): string {
    const hex = digestHex(digest)
    return `${this.root}/blobs/${digestAlgorithm(digest)}/${hex.slice(0, 2)}`
  }

  blob(digest: Digest): string {
    return `${this.shard(digest)}/${digestHex(digest)}`
  }

  fact(kind: string, hex: string): string {
    return join(this.root, "facts", kind, hex.slice(0, 2), hex)
  }
}
