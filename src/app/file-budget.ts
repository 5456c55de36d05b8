import { openFilesLimit } from "../lib/open-files.ts"
import type { Tuning } from "../tuning.ts"

const RESERVED_FILES = 32

/** A request takes a socket and a file, a transfer a socket and a spool; the rest is for logs, probes and the runtime. */
export function fileBudget({ downloads }: Tuning): { readonly requests: number; readonly transfers: number } {
  const free = Math.max(openFilesLimit() - RESERVED_FILES, 20)
  return { requests: Math.floor(free * 0.4), transfers: Math.min(downloads.concurrency, Math.floor(free * 0.1)) }
}
