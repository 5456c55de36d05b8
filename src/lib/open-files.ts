import { readdirSync, readFileSync, statSync } from "node:fs"

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

/** How many files and sockets this process has open; 0 where the system does not tell, infinite where no file is left to look. */
export function countOpenFiles(): number {
  try {
    const { size } = statSync("/proc/self/fd") // Linux tells it there since 6.2, and 0 before
    return size > 0 ? size : readdirSync("/proc/self/fd").length
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EMFILE" ? Number.POSITIVE_INFINITY : 0
  }
}
