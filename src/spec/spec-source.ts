import type { ImageSpec } from "./spec.ts"

/** One server that knows specs by name. */
export interface SpecSource {
  /** Tells one from another in messages, without secrets, e.g. "grpc ws-manager:8080". */
  readonly origin: string
  /**
   * Null: it has answered that it does not know the name. Rejects with RegistryError: UNAVAILABLE where it could not be
   * asked or could not tell, MANIFEST_INVALID where what it gave is no spec.
   */
  lookup(name: string, signal: AbortSignal): Promise<ImageSpec | null>
  close(): void
}

/** No spec is larger; the original's limit of a message. */
export const MAX_SPEC_BYTES = 16 * 1024 * 1024

/** Detail of the error when a source gave no answer at all. */
export const UNREACHABLE = "provider_unreachable"
