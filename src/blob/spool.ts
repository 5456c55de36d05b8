import type { Descriptor } from "../oci/descriptor.ts"
import type { FileBlob } from "./blob.ts"

/**
 * Bytes on their way into a store: written once from front to back, and read meanwhile by any number of readers.
 * Writes are serial; reads may run at any time below what was written.
 */
export interface Spool {
  /** True for one that cannot hold everything: without readers it cannot go on. */
  readonly isWindow: boolean
  /** Appends; the bytes can be read when it resolves. Rejects when the signal is aborted while it waits for readers. */
  write(bytes: Uint8Array, signal?: AbortSignal): Promise<void>
  /**
   * At least one byte and at most `length`, from `offset`, which must be below what was written. Rejects with SpoolGone. What is
   * marked as nobody else's (`soleBytes`) is the caller's alone: whoever wraps a spool neither keeps nor shares it.
   */
  read(offset: number, length: number): Promise<Uint8Array>
  /** Tells where the slowest and the fastest reader are, so that what nobody needs any more can be let go. */
  advance(slowest: number, fastest: number): void
  /** Forgets everything that was written. Nothing may have been read. */
  reset(): Promise<void>
  /** Keeps the content under its digest, which the caller has verified. Null: it cannot be kept; reading goes on. */
  keep(descriptor: Descriptor): Promise<FileBlob | null>
  /** Ends the use of this spool, and its content unless it was kept. Safe to call twice. */
  close(): Promise<void>
}

/** Makes room for content of `size` bytes; null where the size is not known yet. */
export type OpenSpool = (size: number | null) => Promise<Spool>

/** The bytes were let go because their reader was too slow; they have to be fetched again. */
export class SpoolGone extends Error {
  override readonly name = "SpoolGone"

  constructor(offset: number) {
    super(`The bytes at ${offset} are no longer held`)
  }
}
