import type { ByteRange } from "../lib/range.ts"
import type { Cid } from "./cid.ts"
import type { Profile } from "./unixfs.ts"

/** A file that is added. */
export interface NewContent {
  readonly path: string
  readonly size: number
  readonly profile: Profile
  /** Of the pin, so that it can be found again. */
  readonly name: string
}

export interface Added {
  readonly cid: Cid
  /** As computed here from the bytes that were sent. */
  readonly expected: Cid
}

export interface Pin {
  readonly cid: Cid
  readonly name: string
}

/** An IPFS node that we read through and add to. Every method rejects when the node fails, or with the signal's reason. */
export interface IpfsNode {
  /** Whether the first block is on this very node; asks nobody else. */
  has(cid: Cid, signal: AbortSignal): Promise<boolean>
  /** Resolves when the node has found the content. The stream gives exactly the range, or errors; `size` is of it all. */
  open(cid: Cid, range: ByteRange, size: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>>
  /** Adds and pins; returning is no proof that either is complete: see `isPinned`. */
  add(content: NewContent, signal: AbortSignal): Promise<Added>
  isPinned(cid: Cid, signal: AbortSignal): Promise<boolean>
  /** Fetches what is missing. */
  pin(cid: Cid, name: string, signal: AbortSignal): Promise<void>
  /** It is no error if there was no such pin. */
  unpin(cid: Cid, signal: AbortSignal): Promise<void>
  /** Those whose names begin with `prefix`. */
  pins(prefix: string, signal: AbortSignal): AsyncIterable<Pin>
  /** Removes what is not pinned. */
  collect(signal: AbortSignal): Promise<void>
  repoBytes(signal: AbortSignal): Promise<{ readonly used: number; readonly max: number }>
  /** Whether strangers may be able to fetch what is added. */
  isPublic(signal: AbortSignal): Promise<boolean>
}
