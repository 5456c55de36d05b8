import type { Files } from "../../blobserve/files.ts"
import type { FileImage } from "../../blobserve/found-image.ts"
import type { Clock } from "../../lib/clock.ts"
import type { Platform } from "../../oci/platform.ts"
import type { Logger } from "../../telemetry/log.ts"
import type { Metrics } from "../../telemetry/metrics.ts"
import type { FileTarget } from "./path.ts"
import type { ServedRepository } from "./repository.ts"

/** What is served, and how. */
export interface Served {
  /** Names of listed layouts. */
  readonly layouts: readonly string[]
  /** Null: the repository may not be served. */
  readonly repository: (name: string) => ServedRepository | null
  /** What a path names as an image. Throws RegistryError. */
  readonly image: (target: FileTarget) => FileImage
  readonly platform: Platform
  /** How long a request waits for its file; 0 for ever. */
  readonly timeoutMs: number
}

export interface BlobserveAppOptions {
  readonly files: Files
  /** Asked for every request; another object once the configuration has changed. */
  readonly served: () => Served
  /** True for peers that may set variables, by their address. */
  readonly isTrusted: (address: string) => boolean
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  readonly version: string
}
