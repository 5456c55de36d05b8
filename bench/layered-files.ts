import { createWriteStream } from "node:fs"
import { finished } from "node:stream/promises"
import { gzipSync } from "node:zlib"
import { rawEntry } from "../test/helpers/tar-entries.ts"
import type { FileContent } from "./material.ts"

/** A layer of many files, as it is sent, and where one of them ends. */
export interface FileLayer extends FileContent {
  readonly path: string
  /** Of the archive, uncompressed. */
  readonly archiveBytes: number
  /** A file in the middle, and how much of the layer has to come before it is complete. */
  readonly middle: { readonly name: string; readonly endBytes: number }
}

const KIB = 1024
/** As in images: most files are small, most bytes are in larger ones. */
const SIZES = [4, 12, 40, 150, 600].map((size) => size * KIB)
const CONTENTS = 40
const BLOCK = 512

/**
 * Text of a few thousand words, which compresses as programs do. Each file is a member of gzip of its own, so that the
 * layer is made in no time, however large it is.
 */
export async function writeFileLayer(path: string, archiveBytes: number): Promise<FileLayer> {
  const contents = Array.from({ length: CONTENTS }, (_, seed) => textOf(SIZES[seed % SIZES.length] ?? 0, seed))
  const padded = contents.map((content) => gzipSync(rawEntry({ name: "f", content }).subarray(BLOCK), { level: 6 }))
  const file = createWriteStream(path)
  const hasher = new Bun.CryptoHasher("sha256")
  const layer = { size: 0, archiveBytes: 0 }
  const write = async (bytes: Uint8Array, uncompressed: number) => {
    hasher.update(bytes)
    layer.size += bytes.byteLength
    layer.archiveBytes += uncompressed
    if (!file.write(bytes)) await new Promise((resolve) => file.once("drain", resolve))
  }
  let middle: FileLayer["middle"] | null = null
  for (let at = 0; layer.archiveBytes < archiveBytes; at += 1) {
    const content = contents[at % CONTENTS] ?? ""
    const name = `srv/directory-${Math.floor(at / 200)}/file-${at}.js`
    const header = rawEntry({ name, content: "", size: content.length })
    await write(gzipSync(header, { level: 1 }), BLOCK)
    await write(padded[at % CONTENTS] ?? new Uint8Array(0), Math.ceil(content.length / BLOCK) * BLOCK)
    if (middle === null && layer.archiveBytes * 2 > archiveBytes) middle = { name, endBytes: layer.size }
  }
  await write(gzipSync(new Uint8Array(2 * BLOCK)), 2 * BLOCK)
  file.end()
  await finished(file)
  if (middle === null) throw new Error("A layer needs files")
  return { ...layer, path, digest: `sha256:${hasher.digest("hex")}`, middle }
}

function textOf(size: number, seed: number): string {
  let state = seed * 2_654_435_761 + 1
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
  const words = Array.from({ length: 3000 }, () => Math.floor(random() * 36 ** 7).toString(36))
  let text = ""
  while (text.length < size) text += `${words[Math.floor(random() ** 2 * words.length)]} `
  return text.slice(0, size)
}
