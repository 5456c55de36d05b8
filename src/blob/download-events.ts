import type { BlobSource } from "./blob.ts"

/** Told while a download runs; returns at once. */
export interface DownloadEvents {
  /** A source gave bytes that are not the blob. */
  mismatch(source: BlobSource): void
  /** The transfer begins; at an `offset`, it goes on after a failure. */
  opened(source: BlobSource, offset: number): void
  /** The blob was served, but the store failed to keep it. */
  notKept(error: unknown): void
}
