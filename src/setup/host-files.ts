import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  type Stats,
  writeFileSync,
} from "node:fs"
import { dirname } from "node:path"
import { syncDirectory, writeAtomically } from "../lib/atomic-file.ts"
import { resolveBelow } from "../lib/rooted-path.ts"

const DIRECTORY_MODE = 0o755

/** The files of a machine whose root directory is somewhere in ours; no symlink of it leads out of it. */
export class HostFiles {
  readonly #root: string

  /** Throws when there is no such directory. */
  constructor(root: string) {
    this.#root = realpathSync(root)
  }

  /** Null: it is not there. */
  read(path: string): string | null {
    const file = this.#resolve(path)
    return statOf(file) === null ? null : readFileSync(file, "utf8")
  }

  /** Null: it is not there. */
  mode(path: string): number | null {
    const stat = statOf(this.#resolve(path))
    return stat === null ? null : stat.mode & 0o7777
  }

  /** `mode` null keeps that of the file that is replaced; the owner is kept always. */
  write(path: string, content: string, mode: number | null): void {
    const file = this.#resolve(path)
    this.#makeDirectory(dirname(file))
    const old = statOf(file)
    try {
      writeAtomically(file, content, mode ?? (old === null ? 0o644 : old.mode & 0o7777), old)
    } catch (error) {
      // A file that is mounted by itself, as Kubernetes does it, can be rewritten but not replaced
      if (!isCode(error, "EBUSY")) throw error
      writeFileSync(file, content, { flush: true })
    }
  }

  setMode(path: string, mode: number): void {
    chmodSync(this.#resolve(path), mode)
  }

  remove(path: string): void {
    const file = this.#resolve(path)
    rmSync(file)
    syncDirectory(dirname(file))
  }

  /** Leaves it where anything is in it. */
  removeDirectory(path: string): void {
    const directory = this.#resolve(path)
    try {
      rmdirSync(directory)
    } catch (error) {
      if (isCode(error, "ENOTEMPTY") || isCode(error, "ENOENT")) return
      throw error
    }
    syncDirectory(dirname(directory))
  }

  #resolve(path: string): string {
    return resolveBelow(this.#root, path)
  }

  /** With the mode that it should have, whatever the umask; those that are there stay as they are. */
  #makeDirectory(path: string): void {
    const missing: string[] = []
    for (let directory = path; statOf(directory) === null; directory = dirname(directory)) missing.unshift(directory)
    for (const directory of missing) {
      mkdirSync(directory)
      chmodSync(directory, DIRECTORY_MODE)
      syncDirectory(dirname(directory))
    }
  }
}

function statOf(path: string): Stats | null {
  try {
    return lstatSync(path)
  } catch (error) {
    if (isCode(error, "ENOENT")) return null
    throw error
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code
