import { dlopen, FFIType } from "bun:ffi"

/** glibc and both musl flavours name their C library differently. */
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]
const LOCK_EXCLUSIVE = 2
const LOCK_NON_BLOCKING = 4

/**
 * Takes the exclusive lock of an open file, which ends with its last descriptor, also when the process is killed
 * (flock(2)). It holds between containers that share the file. False: somebody else has it.
 */
export type TryLock = (descriptor: number) => boolean

/** Null: this system has no such call. */
export function loadTryLock(): TryLock | null {
  for (const library of LIBRARIES) {
    try {
      const { symbols } = dlopen(library, { flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } })
      return (descriptor) => symbols.flock(descriptor, LOCK_EXCLUSIVE | LOCK_NON_BLOCKING) === 0
    } catch {
      // not this C library
    }
  }
  return null
}
