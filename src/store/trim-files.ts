import { lstat, opendir, unlink } from "node:fs/promises"
import { join } from "node:path"
import { isMissing } from "./disk-error.ts"

export interface TrimBounds {
  /** Since a file was last written, or said to be in use. */
  readonly maxAgeMs: number
  readonly maxBytes: number
  readonly maxFiles: number
}

export interface FileTotals {
  readonly files: number
  readonly bytes: number
}

/** Nothing is removed. */
export const UNBOUNDED: TrimBounds = {
  maxAgeMs: Number.POSITIVE_INFINITY,
  maxBytes: Number.POSITIVE_INFINITY,
  maxFiles: Number.POSITIVE_INFINITY,
}

/**
 * Removes files below a directory that are too old, and the oldest ones of too many; gives what is left. Those that
 * cannot be removed stay. Rejects when a directory cannot be read.
 */
export async function trimFiles(dir: string, bounds: TrimBounds): Promise<FileTotals> {
  const found: { readonly path: string; readonly size: number; readonly at: number }[] = []
  for await (const path of filesBelow(dir)) {
    const stat = await lstat(path).catch(() => null)
    if (stat?.isFile() === true) found.push({ path, size: stat.size, at: stat.mtimeMs })
  }
  let [files, bytes] = [found.length, found.reduce((sum, { size }) => sum + size, 0)]
  const oldest = Date.now() - bounds.maxAgeMs
  for (const { path, size, at } of found.sort((one, other) => one.at - other.at)) {
    if (at >= oldest && bytes <= bounds.maxBytes && files <= bounds.maxFiles) break
    const isGone = await unlink(path).then(
      () => true,
      () => false,
    )
    if (isGone) [files, bytes] = [files - 1, bytes - size]
  }
  return { files, bytes }
}

async function* filesBelow(dir: string): AsyncGenerator<string> {
  const entries = await opendir(dir).catch((error) => {
    if (isMissing(error)) return []
    throw error
  })
  for await (const entry of entries) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) yield* filesBelow(path)
    else yield path
  }
}
