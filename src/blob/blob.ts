import type { ByteRange } from "../lib/range.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { SourceName } from "../telemetry/labels.ts"

/** An immutable file that holds exactly the blob. */
export interface FileBlob {
  readonly kind: "file"
  readonly descriptor: Descriptor
  readonly path: string
}

/** Content that is small and in memory anyway. */
export interface BytesBlob {
  readonly kind: "bytes"
  readonly descriptor: Descriptor
  readonly bytes: Uint8Array<ArrayBuffer>
}

export interface StreamBlob {
  readonly kind: "stream"
  readonly descriptor: Descriptor
  /** Starts I/O. The stream gives exactly the range, or errors; it never just ends early. The opener cancels it. */
  open(range: ByteRange, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>
}

/** A blob that is not here yet; its descriptor answers HEAD without any transfer. */
export interface ColdBlob {
  readonly kind: "cold"
  readonly descriptor: Descriptor
  /** Starts or joins the transfer. Rejects with RegistryError when no source has the blob. */
  obtain(signal: AbortSignal, how?: Obtaining): Promise<ReadyBlob>
}

/**
 * `checked`, if nothing is said: a small blob is complete and verified before any of it is given. `arriving`: it is given as it
 * comes, whatever its size, for who can use the beginning before the end has told whether it is right.
 */
export type Obtaining = "checked" | "arriving"

export type ReadyBlob = FileBlob | BytesBlob | StreamBlob
/** The kind tells HTTP the cheapest way to send it. */
export type LocatedBlob = ReadyBlob | ColdBlob

/** One place to look for blobs: disk, IPFS, an upstream registry, generated content. Trusted by nobody. */
export interface BlobSource {
  /** A metric label. */
  readonly name: SourceName
  /** Tells one source from another in messages, without secrets, e.g. "ghcr.io/acme/agent". */
  readonly origin: string
  /** Tells apart what has the same origin, such as URLs that were signed at different times. Never shown. */
  readonly identity?: string
  /** Null: not here. Rejects: this source failed, ask the next one. Reads no content. */
  find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null>
  /** After so many milliseconds without a first byte, the next source is opened beside this one. Absent: never. */
  readonly hedgeMs?: number
  /**
   * Others have put there what it gives: that is verified before it is passed on, and where several sources together
   * were wrong, this one is blamed.
   */
  readonly isHint?: boolean
  /** Told that what it gave was not the blob. */
  wrong?(descriptor: Descriptor): Promise<void>
}

/** The same for sources that would give the same answer. Holds secrets: not for messages. */
export const sourceKey = ({ identity, name, origin }: BlobSource): string => `${name} ${identity ?? origin}`

/** Opens any kind of blob at `offset`, up to its end. */
export async function openAt(
  blob: ReadyBlob,
  offset: number,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  switch (blob.kind) {
    case "file":
      return Bun.file(blob.path).slice(offset).stream()
    case "bytes":
      return new Blob([blob.bytes.subarray(offset)]).stream()
    case "stream":
      return await blob.open({ start: offset, end: blob.descriptor.size }, signal)
    default:
      return blob satisfies never
  }
}
