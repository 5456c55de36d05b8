import { CID } from "multiformats/cid"
import * as Digests from "multiformats/hashes/digest"
import type { Digest } from "../oci/digest.ts"

declare const kind: unique symbol
/** A content identifier, version 1 in base32, whatever form it came in. */
export type Cid = string & { readonly [kind]: "cid" }

const SHA2_256 = 0x12
const RAW = 0x55
const DAG_PB = 0x70
const MAX_LENGTH = 200

/** Null: it is no CID. Nodes write the same identifier in several bases and versions; all become one. */
export function parseCid(text: string): Cid | null {
  if (text.length > MAX_LENGTH) return null
  try {
    return CID.parse(text).toV1().toString() as Cid // the library's text of version 1 is base32
  } catch {
    return null
  }
}

/** Of a single block whose bytes are the content. */
export const rawCid = (sha256: Uint8Array): Cid => cidOf(RAW, sha256)
/** Of a node that links to others. */
export const nodeCid = (sha256: Uint8Array): Cid => cidOf(DAG_PB, sha256)

function cidOf(codec: number, sha256: Uint8Array): Cid {
  return CID.createV1(codec, Digests.create(SHA2_256, sha256)).toString() as Cid // as above
}

/** The identifier as links hold it. */
export const cidBytes = (cid: Cid): Uint8Array => CID.parse(cid).bytes

/** Content that fits into one block is found by its digest alone. Null: it does not, or the digest is of another kind. */
export function derivedCid(digest: Digest, size: number, chunkBytes: number): Cid | null {
  if (size > chunkBytes || !digest.startsWith("sha256:")) return null
  return rawCid(Buffer.from(digest.slice("sha256:".length), "hex"))
}
