import type { Digest } from "../oci/digest.ts"

export interface StoreStats {
  readonly blobs: number
  readonly bytes: number
  /** Of images that were served within the last hour; these are not evicted. */
  readonly inUseBlobs: number
  readonly inUseBytes: number
  /** Files that were not what their name said. */
  readonly putAside: number
  readonly putAsideBytes: number
  /** Small files with what was found out about content. */
  readonly facts: number
  readonly factBytes: number
  /** Of the disk. */
  readonly freeBytes: number
}

export interface VerifyReport {
  readonly checked: number
  /** Put aside. */
  readonly wrong: readonly Digest[]
  /** The disk does not give their content; they are left where they are. */
  readonly unreadable: readonly Digest[]
}
