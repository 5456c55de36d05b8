import { createWriteStream } from "node:fs"
import { finished } from "node:stream/promises"
import { constants, crc32, deflateRawSync } from "node:zlib"
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

/** Of a member of gzip (RFC 1952, 2.3) that tells nothing of itself. */
const GZIP_HEADER = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
/** A block without content, the last one. */
const LAST_BLOCK = new Uint8Array([3, 0])

/**
 * Text of a few thousand words, which compresses as programs do. It is one member of gzip, as layers are; contents are
 * compressed once and used again, so that the layer is made in no time, however large it is.
 */
export async function writeFileLayer(path: string, archiveBytes: number): Promise<FileLayer> {
  const contents = Array.from({ length: CONTENTS }, (_, seed) => textOf(SIZES[seed % SIZES.length] ?? 0, seed))
  const padded = contents.map((content) => blocksOf(rawEntry({ name: "f", content }).subarray(BLOCK)))
  const file = createWriteStream(path)
  const hasher = new Bun.CryptoHasher("sha256")
  const layer = { size: 0, archiveBytes: 0 }
  let sum = 0
  const write = async (bytes: Uint8Array) => {
    hasher.update(bytes)
    layer.size += bytes.byteLength
    if (!file.write(bytes)) await new Promise((resolve) => file.once("drain", resolve))
  }
  const add = async ({ blocks, content }: Blocks) => {
    await write(blocks)
    layer.archiveBytes += content.byteLength
    sum = crc32(content, sum)
  }
  let middle: FileLayer["middle"] | null = null
  await write(GZIP_HEADER)
  for (let at = 0; layer.archiveBytes < archiveBytes; at += 1) {
    const name = `srv/directory-${Math.floor(at / 200)}/file-${at}.js`
    const size = contents[at % CONTENTS]?.length ?? 0
    await add(blocksOf(rawEntry({ name, content: "", size })))
    await add(padded[at % CONTENTS] ?? blocksOf(new Uint8Array(0)))
    if (middle === null && layer.archiveBytes * 2 > archiveBytes) middle = { name, endBytes: layer.size }
  }
  await add(blocksOf(new Uint8Array(2 * BLOCK)))
  await write(LAST_BLOCK)
  await write(new Uint8Array(new Uint32Array([sum, layer.archiveBytes]).buffer))
  file.end()
  await finished(file)
  if (middle === null) throw new Error("A layer needs files")
  return { ...layer, path, digest: `sha256:${hasher.digest("hex")}`, middle }
}

interface Blocks {
  readonly content: Uint8Array
  readonly blocks: Uint8Array
}

/** Blocks that end with a whole byte, so that others can follow. */
const blocksOf = (content: Uint8Array): Blocks => ({
  content,
  blocks: deflateRawSync(content, { level: 6, finishFlush: constants.Z_SYNC_FLUSH }),
})

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
