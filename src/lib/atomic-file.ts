import { closeSync, fchmodSync, fchownSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"

export interface FileOwner {
  readonly uid: number
  readonly gid: number
}

/**
 * Puts a file in place of what is there, whole: a reader, and a machine that loses power, see the old content or the
 * new. `owner` null leaves it to the process. The directory must exist.
 */
export function writeAtomically(path: string, content: string, mode: number, owner: FileOwner | null = null): void {
  const dir = dirname(path)
  const temporary = join(dir, `.${basename(path)}.${process.pid}.${Math.random().toString(36).slice(2)}`)
  const file = openSync(temporary, "wx", 0o600)
  try {
    writeFileSync(file, content)
    fchmodSync(file, mode)
    if (owner !== null) fchownSync(file, owner.uid, owner.gid)
    fsyncSync(file)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
  syncDirectory(dir)
}

/** Makes renames and removals in it last. */
export function syncDirectory(dir: string): void {
  const directory = openSync(dir, "r")
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
