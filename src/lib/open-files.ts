import { readFileSync } from "node:fs"

/** Where the limit is not known, a low one is assumed. */
const ASSUMED = 1024

/** How many files and sockets this process may have open (getrlimit(2), RLIMIT_NOFILE). */
export function openFilesLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
    return soft === undefined || soft === "unlimited" ? ASSUMED * 1024 : Number(soft)
  } catch {
    return ASSUMED
  }
}
