import { FFIType } from "bun:ffi"
import { openLibc } from "./libc.ts"

const VARIABLE = "UV_THREADPOOL_SIZE"

/**
 * Lets the runtime have so many threads for files. By default it has as many as there are cores: two files that a slow
 * disk takes long to confirm would then hold up everything that needs a file. Only before the first use of a file; a
 * number that the environment has already is left alone.
 */
export function widenThreadPool(threads: number): void {
  if (process.env[VARIABLE] !== undefined) return
  const libc = openLibc({ setenv: { args: [FFIType.cstring, FFIType.cstring, FFIType.i32], returns: FFIType.i32 } })
  // The runtime reads the environment of the process itself, which `process.env` is a copy of
  libc?.setenv(terminated(VARIABLE), terminated(String(threads)), 0)
}

const terminated = (text: string): Buffer => Buffer.from(`${text}\0`)
