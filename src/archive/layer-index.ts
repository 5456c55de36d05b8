import { ArchiveError } from "./archive-error.ts"
import { ENTRY_TYPES, SHA_BYTES } from "./entry-table.ts"
import type { Frame } from "./frame.ts"
import type { LayerChild, LayerEntry, LayerTree } from "./layer-entry.ts"
import type { LayerPath } from "./layer-path.ts"

/**
 * What a layer holds, as one piece of memory that is written and read as it is: columns of numbers, then the texts.
 * Entries are in the order of their paths' bytes, so that a path is found by halving.
 *
 *     magic, count of entries, count of frames, bytes of paths, bytes of links       5 x u32 (magic 4 bytes)
 *     size, offset, mtime                f64 each
 *     frames: start, bytes, pack offset, packed bytes, source offset, source bytes        f64 each
 *     end of path, end of link           u32 each
 *     mode                               u16
 *     type                               u8
 *     sha256                             32 bytes
 *     paths, links
 */
const MAGIC = 0x3449_4c52 // "RLI4"
const HEAD_BYTES = 24
const FRAME_COLUMNS = 6

interface Columns {
  readonly sizes: Float64Array
  readonly offsets: Float64Array
  readonly mtimes: Float64Array
  readonly frames: Float64Array
  readonly pathEnds: Uint32Array
  readonly linkEnds: Uint32Array
  readonly modes: Uint16Array
  readonly types: Uint8Array
  readonly hashes: Uint8Array
  readonly paths: Buffer
  readonly links: Buffer
}

interface Counts {
  readonly entries: number
  readonly frames: number
  readonly pathBytes: number
  readonly linkBytes: number
}

/** `entries` are asked for twice, and must come in the order of their paths' bytes. */
export function encodeIndex(entries: () => Iterable<LayerEntry>, frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const counts = countAll(entries(), frames)
  const bytes = new Uint8Array(totalBytes(counts))
  new Uint32Array(bytes.buffer, 0, 5).set([MAGIC, counts.entries, counts.frames, counts.pathBytes, counts.linkBytes])
  const columns = columnsOf(bytes.buffer, counts)
  let at = 0
  let pathEnd = 0
  let linkEnd = 0
  for (const entry of entries()) {
    pathEnd += columns.paths.write(entry.path, pathEnd, "latin1")
    linkEnd += columns.links.write(entry.link, linkEnd, "latin1")
    columns.sizes[at] = entry.size
    columns.offsets[at] = entry.offset
    columns.mtimes[at] = entry.mtime
    columns.pathEnds[at] = pathEnd
    columns.linkEnds[at] = linkEnd
    columns.modes[at] = entry.mode
    columns.types[at] = ENTRY_TYPES.indexOf(entry.type)
    columns.hashes.set(Buffer.from(entry.sha256, "hex"), at * SHA_BYTES)
    at += 1
  }
  for (const [index, frame] of frames.entries()) {
    const { bytes: content, packOffset, packedBytes, sourceBytes, sourceOffset, start } = frame
    columns.frames.set([start, content, packOffset, packedBytes, sourceOffset, sourceBytes], index * FRAME_COLUMNS)
  }
  return bytes
}

function countAll(entries: Iterable<LayerEntry>, frames: readonly Frame[]): Counts {
  const counts = { entries: 0, frames: frames.length, pathBytes: 0, linkBytes: 0 }
  for (const { link, path } of entries) {
    counts.entries += 1
    counts.pathBytes += path.length
    counts.linkBytes += link.length
  }
  return counts
}

function totalBytes({ entries, frames, pathBytes, linkBytes }: Counts): number {
  return HEAD_BYTES + entries * (3 * 8 + 2 * 4 + 2 + 1 + SHA_BYTES) + frames * FRAME_COLUMNS * 8 + pathBytes + linkBytes
}

function columnsOf(buffer: ArrayBuffer, { entries, frames, pathBytes, linkBytes }: Counts): Columns {
  let at = HEAD_BYTES
  const take = (bytes: number): number => {
    at += bytes
    return at - bytes
  }
  return {
    sizes: new Float64Array(buffer, take(entries * 8), entries),
    offsets: new Float64Array(buffer, take(entries * 8), entries),
    mtimes: new Float64Array(buffer, take(entries * 8), entries),
    frames: new Float64Array(buffer, take(frames * FRAME_COLUMNS * 8), frames * FRAME_COLUMNS),
    pathEnds: new Uint32Array(buffer, take(entries * 4), entries),
    linkEnds: new Uint32Array(buffer, take(entries * 4), entries),
    modes: new Uint16Array(buffer, take(entries * 2), entries),
    types: new Uint8Array(buffer, take(entries), entries),
    hashes: new Uint8Array(buffer, take(entries * SHA_BYTES), entries * SHA_BYTES),
    paths: Buffer.from(buffer, take(pathBytes), pathBytes),
    links: Buffer.from(buffer, take(linkBytes), linkBytes),
  }
}

/** A complete layer. Reads nothing before it is asked. */
export class LayerIndex implements LayerTree {
  readonly isComplete = true
  readonly frames: readonly Frame[]
  readonly byteLength: number
  readonly #columns: Columns
  readonly #count: number

  /** Throws ArchiveError for bytes that are no index of this version. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    const aligned = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice()
    const [magic, entries = 0, frames = 0, pathBytes = 0, linkBytes = 0] =
      aligned.byteLength < HEAD_BYTES ? [] : new Uint32Array(aligned.buffer, 0, 5)
    const counts = { entries, frames, pathBytes, linkBytes }
    if (magic !== MAGIC || totalBytes(counts) !== aligned.byteLength)
      throw new ArchiveError("it is no index of a layer")
    this.#columns = columnsOf(aligned.buffer, counts)
    this.#count = entries
    this.byteLength = aligned.byteLength
    this.frames = readFrames(this.#columns.frames)
  }

  get count(): number {
    return this.#count
  }

  find(path: LayerPath): LayerEntry | null {
    const target = Buffer.from(path, "latin1")
    const at = this.#lowerBound(target)
    return at < this.#count && this.#compare(at, target) === 0 ? this.#entry(at) : null
  }

  hasBelow(path: LayerPath): boolean {
    if (path === "") return this.#count > 0
    const prefix = Buffer.from(`${path}/`, "latin1")
    const at = this.#lowerBound(prefix)
    return (
      at < this.#count && this.#columns.paths.subarray(this.#pathStart(at)).subarray(0, prefix.length).equals(prefix)
    )
  }

  /** What is directly in a directory, in the order of names, from the first one after `after`. */
  *children(path: LayerPath, after = ""): Generator<LayerChild> {
    const prefix = path === "" ? "" : `${path}/`
    let last = after
    for (let at = this.#lowerBound(Buffer.from(`${prefix}${after}\0`, "latin1")); at < this.#count; ) {
      const below = this.#path(at)
      if (!below.startsWith(prefix)) return
      const [name = ""] = below.slice(prefix.length).split("/", 1)
      const isEntry = below.length === prefix.length + name.length
      if (name > last) {
        yield* this.#implied(prefix, name, last)
        yield { name, entry: isEntry ? this.#entry(at) : null }
        last = name
      }
      // All that is below the same name is passed over: "0" is the character after "/"
      at = isEntry ? at + 1 : this.#lowerBound(Buffer.from(`${prefix}${name}0`, "latin1"))
    }
  }

  /**
   * Directories without an entry of their own, between two neighbouring names: what is below `a` comes after `a-b`, whose
   * beginning it is.
   */
  *#implied(prefix: LayerPath, name: string, last: string): Generator<LayerChild> {
    for (let end = commonLength(name, last) + 1; end < name.length; end += 1) {
      const beginning = name.slice(0, end)
      if (name.charAt(end) < "/" && this.hasBelow(prefix + beginning)) yield { name: beginning, entry: null }
    }
  }

  *entries(): Generator<LayerEntry> {
    for (let at = 0; at < this.#count; at += 1) yield this.#entry(at)
  }

  /** The first entry whose path is not before `target`. */
  #lowerBound(target: Buffer): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#compare(middle, target) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #compare(at: number, target: Buffer): number {
    return this.#columns.paths.compare(target, 0, target.length, this.#pathStart(at), this.#columns.pathEnds[at] ?? 0)
  }

  #pathStart(at: number): number {
    return at === 0 ? 0 : (this.#columns.pathEnds[at - 1] ?? 0)
  }

  #path(at: number): LayerPath {
    return this.#columns.paths.toString("latin1", this.#pathStart(at), this.#columns.pathEnds[at])
  }

  #entry(at: number): LayerEntry {
    const { hashes, linkEnds, links, modes, mtimes, offsets, sizes, types } = this.#columns
    const type = ENTRY_TYPES[types[at] ?? 0] ?? "special"
    const linkStart = at === 0 ? 0 : (linkEnds[at - 1] ?? 0)
    const hash = Buffer.from(hashes.buffer, hashes.byteOffset + at * SHA_BYTES, SHA_BYTES)
    return {
      path: this.#path(at),
      type,
      link: links.toString("latin1", linkStart, linkEnds[at]),
      mode: modes[at] ?? 0,
      mtime: mtimes[at] ?? 0,
      size: sizes[at] ?? 0,
      offset: offsets[at] ?? 0,
      sha256: type === "file" ? hash.toString("hex") : "",
    }
  }
}

function commonLength(one: string, other: string): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length += 1
  return length
}

function readFrames(columns: Float64Array): readonly Frame[] {
  return Array.from({ length: columns.length / FRAME_COLUMNS }, (_, index) => {
    const [start = 0, bytes = 0, packOffset = 0, packedBytes = 0, sourceOffset = 0, sourceBytes = 0] = columns.subarray(
      index * FRAME_COLUMNS,
    )
    return { start, bytes, packOffset, packedBytes, sourceOffset, sourceBytes }
  })
}
