import { gzipSync } from "node:zlib"
import { content, OCI_LAYER, sha256, type TestLayer } from "./images.ts"

export interface RawEntry {
  readonly name: string
  /** The type flag. */
  readonly flag?: string
  readonly link?: string
  readonly content?: string | Uint8Array
  /** What the header says, if not the truth. */
  readonly size?: number
  readonly mode?: number
  readonly mtime?: number
  /** With the version. */
  readonly magic?: string
}

const BLOCK = 512
const padded = (bytes: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(Math.ceil(bytes.byteLength / BLOCK) * BLOCK)
  whole.set(bytes)
  return whole
}

/** One entry of an archive, written without any of the care that real writers take. */
export function rawEntry(entry: RawEntry): Uint8Array {
  const { name, flag = "0", link = "", content = "", size, mode = 0o644, mtime = 0 } = entry
  const body = Buffer.from(content as string)
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, "0")}\0`
  header.write(name, 0, 100, "latin1")
  header.write(octal(mode, 8), 100)
  header.write(octal(0, 8), 108)
  header.write(octal(0, 8), 116)
  header.write(octal(size ?? body.byteLength, 12), 124)
  header.write(octal(mtime, 12), 136)
  header.write("        ", 148)
  header.write(flag, 156, "latin1")
  header.write(link, 157, 100, "latin1")
  header.write(entry.magic ?? "ustar\x0000", 257, "latin1")
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return Buffer.concat([header, padded(body)])
}

export const rawTar = (entries: readonly RawEntry[]): Uint8Array =>
  Buffer.concat([...entries.map(rawEntry), new Uint8Array(2 * BLOCK)])

/** A layer of such entries. */
export function rawLayer(entries: readonly RawEntry[]): TestLayer {
  const plain = rawTar(entries)
  return { ...content(`${OCI_LAYER}+gzip`, new Uint8Array(gzipSync(plain))), diffID: sha256(plain) }
}

export const directory = (name: string): RawEntry => ({ name: `${name}/`, flag: "5", mode: 0o755 })
export const symlink = (name: string, link: string): RawEntry => ({ name, flag: "2", link })
export const hardlink = (name: string, link: string): RawEntry => ({ name, flag: "1", link })
export const whiteout = (path: string): RawEntry => ({ name: path.replace(/[^/]+$/, (name) => `.wh.${name}`) })
