import type { Digest } from "../oci/digest.ts"
import type { Cid } from "./cid.ts"

export interface CidEntry {
  readonly digest: Digest
  readonly cid: Cid
  /** Bytes of the blob. */
  readonly size: number
  readonly mediaType: string
}

/** Which CID a blob was added under. A hint that anybody may have written: what is read by it is verified. Never rejects. */
export interface CidIndex {
  /** Null: it is not known that anybody has added the blob. */
  find(digest: Digest): Promise<Cid | null>
  put(entry: CidEntry): Promise<void>
  /** Forgets an entry that turned out wrong, unless it was replaced meanwhile. */
  drop(digest: Digest, cid: Cid): Promise<void>
}
