import { constants, readSync } from "node:fs"

/** To open a regular file: what has become something else is neither followed nor waited for. */
export const REGULAR_FILE = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Fills `into` with what an open file holds from `start` on. False: it is shorter. */
export function fillFrom(file: number, into: Uint8Array, start: number): boolean {
  for (let done = 0; done < into.byteLength; ) {
    const count = readSync(file, into, done, into.byteLength - done, start + done)
    if (count === 0) return false
    done += count
  }
  return true
}
