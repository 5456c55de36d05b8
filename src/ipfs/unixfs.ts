import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire"
import { type Cid, cidBytes, nodeCid, rawCid } from "./cid.ts"

/** How content is cut into blocks: the same profile gives the same CID on every node. */
export interface Profile {
  readonly name: string
  readonly chunkBytes: number
  /** Links of one node. */
  readonly links: number
}

/** Names as Kubo has them. The second is how the original's nodes add: Kubo's defaults of old. */
export const PROFILES: Readonly<Record<string, Profile>> = {
  "unixfs-v1-2025": { name: "unixfs-v1-2025", chunkBytes: 1024 * 1024, links: 1024 },
  "test-cid-v1": { name: "test-cid-v1", chunkBytes: 256 * 1024, links: 174 },
}

interface Child {
  readonly cid: Cid
  /** Of the file's content below. */
  readonly fileBytes: number
  /** Of all blocks below. */
  readonly totalBytes: number
}

/**
 * The CID under which a node adds content, computed while the content passes: CIDv1, sha2-256, raw leaves, balanced
 * (UnixFS specification; IPIP-0499). Needs 100 bytes of memory per block.
 */
export class UnixfsHasher {
  readonly #profile: Profile
  readonly #leaves: Child[] = []
  #hasher = new Bun.CryptoHasher("sha256")
  #length = 0

  constructor(profile: Profile) {
    this.#profile = profile
  }

  update(bytes: Uint8Array): void {
    let offset = 0
    while (offset < bytes.byteLength) {
      if (this.#length === this.#profile.chunkBytes) this.#endLeaf()
      const piece = bytes.subarray(offset, offset + this.#profile.chunkBytes - this.#length)
      this.#hasher.update(piece)
      this.#length += piece.byteLength
      offset += piece.byteLength
    }
  }

  /** Ends it. */
  cid(): Cid {
    this.#endLeaf()
    let level = this.#leaves
    while (level.length > 1) level = this.#parents(level)
    const [root] = level
    if (root === undefined) throw new Error("Cannot be: there is always a leaf")
    return root.cid
  }

  #endLeaf(): void {
    this.#leaves.push({ cid: rawCid(this.#hasher.digest()), fileBytes: this.#length, totalBytes: this.#length })
    this.#hasher = new Bun.CryptoHasher("sha256")
    this.#length = 0
  }

  #parents(level: readonly Child[]): Child[] {
    const { links } = this.#profile
    const groups = Math.ceil(level.length / links)
    return Array.from({ length: groups }, (_, group) => parentOf(level.slice(group * links, (group + 1) * links)))
  }
}

const FILE = 2

function parentOf(children: readonly Child[]): Child {
  const fileBytes = sum(children.map((child) => child.fileBytes))
  const data = new BinaryWriter().tag(1, WireType.Varint).uint32(FILE).tag(3, WireType.Varint).uint64(fileBytes)
  for (const child of children) data.tag(4, WireType.Varint).uint64(child.fileBytes)
  const node = new BinaryWriter()
  for (const child of children) node.tag(2, WireType.LengthDelimited).bytes(linkTo(child))
  const bytes = node.tag(1, WireType.LengthDelimited).bytes(data.finish()).finish()
  return {
    cid: nodeCid(new Bun.CryptoHasher("sha256").update(bytes).digest()),
    fileBytes,
    totalBytes: bytes.byteLength + sum(children.map((child) => child.totalBytes)),
  }
}

/** Links have a name, even where it is empty (DAG-PB specification, "Canonical form"). */
function linkTo({ cid, totalBytes }: Child): Uint8Array {
  const link = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(cidBytes(cid))
  return link.tag(2, WireType.LengthDelimited).string("").tag(3, WireType.Varint).uint64(totalBytes).finish()
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)
