import { lstatSync, type Stats } from "node:fs"
import { type BypassReason, StoreBypass } from "./store.ts"

const REASONS: Readonly<Record<string, BypassReason>> = {
  ENOSPC: "enospc",
  EDQUOT: "enospc",
  EROFS: "readonly",
  EACCES: "readonly",
  EPERM: "readonly",
}

/** Tells what kind of trouble a disk is in. */
export function diskTrouble(error: unknown): StoreBypass {
  if (error instanceof StoreBypass) return error
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  const message = error instanceof Error ? error.message : String(error)
  return new StoreBypass(REASONS[code] ?? "io", `The disk store cannot be written: ${message}`, { cause: error })
}

/** Null: there is no such file, or the disk does not tell, which is no different for who wants to read it. */
export function statOrNull(path: string): Stats | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? null
  } catch {
    return null
  }
}

/** True for a path that is not there, which is no trouble. */
export const isMissing = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ENOENT"
