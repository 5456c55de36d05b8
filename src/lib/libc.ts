import { dlopen, type FFIFunction, type Library } from "bun:ffi"

/** glibc and both musl flavours name their C library differently. */
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"]

/** Functions of the system's C library. Null: this system has no such library, or it has no such function. */
export function openLibc<const Functions extends Record<string, FFIFunction>>(
  functions: Functions,
): Library<Functions>["symbols"] | null {
  for (const library of LIBRARIES) {
    try {
      return dlopen(library, functions).symbols
    } catch {
      // not this C library
    }
  }
  return null
}
