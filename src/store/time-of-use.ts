import { lstat, utimes } from "node:fs/promises"
import type { IndexEntry } from "./disk-index.ts"
import type { DiskPaths } from "./disk-path.ts"

/** How exact the time of last use is on disk. */
const TOUCH_MS = 60 * 60 * 1000

/** Notes that a blob is used now; roughly on the disk, too, so that it outlives the process. */
export function noteUse(entry: IndexEntry, paths: DiskPaths): void {
  entry.usedAt = Date.now()
  if (entry.usedAt - entry.touchedAt < TOUCH_MS) return
  entry.touchedAt = entry.usedAt
  void writeTimeOfUse(paths.blob(entry.digest), entry.usedAt)
}

/** Of access alone: the time of change is part of what tells that a file is as it was when it was checked. */
async function writeTimeOfUse(path: string, usedAt: number): Promise<void> {
  const stat = await lstat(path).catch(() => null)
  if (stat !== null) await utimes(path, usedAt / 1000, stat.mtimeMs / 1000).catch(() => {}) // it only makes eviction a little less fair
}
