import { FFIType } from "bun:ffi"
import { openLibc } from "./libc.ts"

const LOCK_EXCLUSIVE = 2
const LOCK_NON_BLOCKING = 4

/**
 * Takes the exclusive lock of an open file, which ends with its last descriptor, also when the process is killed
 * (flock(2)). It holds between containers that share the file. False: somebody else has it.
 */
export type TryLock = (descriptor: number) => boolean

/** Null: this system has no such call. */
export function loadTryLock(): TryLock | null {
  const libc = openLibc({ flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } })
  return libc === null ? null : (descriptor) => libc.flock(descriptor, LOCK_EXCLUSIVE | LOCK_NON_BLOCKING) === 0
}
