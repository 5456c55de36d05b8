import { type BigIntStats, statSync } from "node:fs"

/** Tells one state of a file from another without reading it. */
export interface FileIdentity {
  readonly text: string
  /** Changed a moment ago, so that a further change may leave no trace: its identity proves nothing yet. */
  readonly isYoung: boolean
}

/** A write within the clock tick of a file system does not change a file's times. */
const YOUNG_MS = 100

/** Follows symlinks. Null: there is no such file, it is no regular file, or nobody may look at it now. */
export function identifyFile(path: string): FileIdentity | null {
  const found = lookAt(path)
  if (found === undefined || !found.isFile()) return null
  const { dev, ino, size, mtimeNs, ctimeNs } = found
  return { text: [dev, ino, size, mtimeNs, ctimeNs].join(" "), isYoung: isYoung(ctimeNs) }
}

function lookAt(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined // reading it says why
  }
}

export const isYoung = (changedAtNs: bigint): boolean => Date.now() - Number(changedAtNs / 1_000_000n) < YOUNG_MS
