import { openFilesLimit } from "../lib/open-files.ts"
import type { Tuning } from "../tuning.ts"

const RESERVED_FILES = 32

export interface FileBudget {
  readonly requests: number
  readonly transfers: number
  /** With more files open than this, connections that nobody uses are closed. */
  readonly scarceFrom: number
  /** With more files open than this, nothing new is begun. */
  readonly spentFrom: number
}

/**
 * A request takes a socket and a file, or two where a file is read out of a layer, a transfer a socket and a spool; the rest
 * is for logs, probes and the runtime.
 */
export function fileBudget({ downloads }: Pick<Tuning, "downloads">, limit = openFilesLimit()): FileBudget {
  const free = Math.max(limit - RESERVED_FILES, 20)
  return {
    requests: Math.floor(free * 0.4),
    transfers: Math.min(downloads.concurrency, Math.floor(free * 0.1)),
    scarceFrom: limit - Math.ceil(free * 0.4),
    spentFrom: limit - Math.ceil(free * 0.1),
  }
}
