import { TarReader } from "../../src/archive/tar-reader.ts"

export interface Found {
  readonly type: string
  readonly name: string
  readonly link: string
  readonly size: number
  readonly sha256: string
}

/** What our reader finds, in the form that other readers are asked for. Throws as the reader does. */
export function readMembers(bytes: Uint8Array, pieceBytes = 997): readonly Found[] {
  const found: Found[] = []
  let hasher = new Bun.CryptoHasher("sha256")
  let size = 0
  let current: Omit<Found, "size" | "sha256"> | null = null
  const reader = new TarReader({
    member: ({ type, name, link }) => {
      current = { type, name: name.replace(/\/+$/, ""), link }
      hasher = new Bun.CryptoHasher("sha256")
      size = 0
    },
    content: (piece) => {
      hasher.update(piece)
      size += piece.byteLength
    },
    memberEnd: () => {
      if (current === null) throw new Error("An entry has ended that did not begin")
      const sha256 = current.type === "file" ? hasher.digest("hex") : ""
      found.push({ ...current, size, sha256 })
      current = null
    },
  })
  for (let offset = 0; offset < bytes.byteLength; offset += pieceBytes) {
    reader.update(bytes.subarray(offset, offset + pieceBytes))
  }
  reader.end()
  return found
}
