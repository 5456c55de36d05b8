import type { Digest } from "../oci/digest.ts"

/** The right to fetch a blob from its upstream, for one node at a time. A hint: losing it costs a second transfer. Never rejects. */
export interface Leases {
  /** `ours` now, with whoever had it before; `others` have it; `unknown`: it cannot be told, each node acts alone. */
  take(digest: Digest): Promise<"ours" | "others" | "unknown">
  /** Keeps it for another while. */
  renew(digest: Digest): Promise<void>
  /** Gives it back, if it is ours. */
  release(digest: Digest): Promise<void>
}
