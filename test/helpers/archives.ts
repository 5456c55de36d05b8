import { extract } from "tar-stream"

export interface ArchiveEntry {
  readonly name: string
  readonly type: string
  readonly mode: number
  /** Of a file its text, of a symlink its target. */
  readonly content: string
}

/** What an archive holds, as an independent reader sees it. Throws when anything tells of time or owner. */
export async function readTar(bytes: Uint8Array): Promise<readonly ArchiveEntry[]> {
  const reader = extract()
  const entries: ArchiveEntry[] = []
  reader.end(bytes)
  for await (const entry of reader) {
    const { name, type, mode = 0, linkname, uid, gid, mtime, uname, gname } = entry.header
    if ([uid, gid, mtime?.getTime(), uname, gname].some(Boolean)) throw new Error(`${name} tells where it comes from`)
    const chunks: Buffer[] = []
    for await (const chunk of entry) chunks.push(chunk as Buffer)
    const content = type === "symlink" ? (linkname ?? "") : Buffer.concat(chunks).toString()
    entries.push({ name, type: type ?? "file", mode, content })
  }
  return entries
}
