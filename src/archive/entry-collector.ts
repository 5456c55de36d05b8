import { ArchiveError } from "./archive-error.ts"
import { LayerEntries } from "./layer-entries.ts"
import type { LayerEntry } from "./layer-entry.ts"
import type { TarMember } from "./tar-member.ts"
import type { TarSink } from "./tar-reader.ts"

/** No system makes a symlink to a longer path. */
const MAX_TARGET = 4096

export interface EntryLimits {
  /** Of entries, and of the directories that they are in. */
  readonly maxEntries: number
  /** Of all paths and link targets together. */
  readonly maxNameBytes: number
}

interface Reading {
  readonly member: TarMember
  readonly path: string
  readonly offset: number
  readonly hasher: Bun.CryptoHasher
}

/** Turns what a reader of an archive finds into entries of a layer. */
export class EntryCollector implements TarSink {
  readonly entries = new LayerEntries()
  readonly #limits: EntryLimits
  /** Entries that were not taken yet, and how much of the archive they need. */
  #fresh: { readonly entry: LayerEntry; readonly until: number }[] = []
  #freshParents = 0
  #reading: Reading | null = null
  #nameBytes = 0

  constructor(limits: EntryLimits) {
    this.#limits = limits
  }

  /** Entries that are complete and were not taken yet, and the directories that are known by them alone. */
  get fresh(): number {
    return this.#fresh.length + this.#freshParents
  }

  member(member: TarMember, offset: number): void {
    const path = this.entries.place(member.name)
    this.#count(path, member.link)
    if (path === "" && member.type !== "directory") throw new ArchiveError("the root is no directory")
    if (member.type === "file") {
      const hasher = new Bun.CryptoHasher("sha256")
      this.#reading = { member, path, offset, hasher }
    } else if (member.type === "hardlink") this.#add(this.#linked(member, path), offset)
    else if (path !== "") this.#add(bareEntry(member, path), offset)
  }

  content(bytes: Uint8Array): void {
    this.#reading?.hasher.update(bytes)
  }

  memberEnd(): void {
    const reading = this.#reading
    if (reading === null) return
    this.#reading = null
    const { member, path, offset, hasher } = reading
    const { type, mode, mtime, size } = member
    this.#add({ path, type, link: "", mode, mtime, size, offset, sha256: hasher.digest("hex") }, offset + size)
  }

  /** The entries that are within the first `position` bytes of the archive, and not taken before. */
  take(position: number): readonly LayerEntry[] {
    const count = this.#fresh.findIndex(({ until }) => until > position)
    const ready = count === -1 ? this.#fresh : this.#fresh.slice(0, count)
    this.#fresh = count === -1 ? [] : this.#fresh.slice(count)
    this.#freshParents = 0
    return ready.map(({ entry }) => entry)
  }

  #add(entry: LayerEntry, until: number): void {
    const before = this.entries.parents
    this.entries.add(entry)
    this.#freshParents += Math.max(0, this.entries.parents - before)
    this.#fresh.push({ entry, until })
  }

  #count(path: string, link: string): void {
    if (link.length > MAX_TARGET) throw new ArchiveError(`the target of a link has more than ${MAX_TARGET} bytes`)
    this.#nameBytes += path.length + link.length
    if (this.entries.size >= this.#limits.maxEntries)
      throw new ArchiveError(`it has more than ${this.#limits.maxEntries} entries`)
    if (this.entries.parents >= this.#limits.maxEntries)
      throw new ArchiveError(`it has more than ${this.#limits.maxEntries} directories`)
    if (this.#nameBytes > this.#limits.maxNameBytes)
      throw new ArchiveError(`its names have more than ${this.#limits.maxNameBytes} bytes together`)
  }

  /** Another name for what the target is now; one that is not in this archive is looked for in the layers below. */
  #linked(member: TarMember, path: string): LayerEntry {
    const link = this.entries.place(member.link)
    const target = this.entries.find(link)
    if (target?.type === "directory" || link === "")
      throw new ArchiveError("a link makes a second name for a directory")
    return target === null ? { ...bareEntry(member, path), link } : { ...target, path }
  }
}

const bareEntry = ({ type, link, mode, mtime }: TarMember, path: string): LayerEntry => ({
  path,
  type,
  link: type === "symlink" ? link : "",
  mode,
  mtime,
  size: 0,
  offset: 0,
  sha256: "",
})
