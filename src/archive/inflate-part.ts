import { constants, createGunzip, createInflateRaw } from "node:zlib"
import { ArchiveError } from "./archive-error.ts"
import { emptyBlocks } from "./empty-blocks.ts"
import { ZlibEngine } from "./zlib-engine.ts"

/** How far back a block may refer (RFC 1951, 2). */
export const WINDOW_BYTES = 32 * 1024

/** Behind the last block of a member of gzip, before the next member (RFC 1952, 2.3.1). */
const TRAILER_BYTES = 8

/** Blocks of deflate from the middle of a stream, and of the members of gzip that may follow it. */
export interface BlockRun {
  readonly source: Uint8Array
  /** How many bits of the first byte, 1 to 8, belong to what is before. */
  readonly skip: number
  /** What the blocks may refer to. */
  readonly window: Uint8Array
}

/** One of each for all on this thread: nobody waits in the middle of it, and to make one costs more than most of its uses. */
let engine: ZlibEngine | null = null
let memberEngine: ZlibEngine | null = null
const passed = new Uint8Array(WINDOW_BYTES)

/** Fills `output` as far as the blocks go. Gives how many bytes that are; null when they are damaged. */
export function inflatePart({ skip, source, window }: BlockRun, output: Uint8Array): number | null {
  engine ??= new ZlibEngine(createInflateRaw({ chunkSize: 64 }))
  engine.reset()
  try {
    // The window comes first, in a block of its own; then as many bits as make the blocks begin where they did
    for (const input of [storedHeader(window.byteLength), window]) runAll(engine, input, passed, 0)
    let filled = 0
    for (const input of [emptyBlocks(skip % 8, source[0] ?? 0), source.subarray(1)])
      filled = runAll(engine, input, output, filled)
    const members = engine.rest.subarray(TRAILER_BYTES)
    return members.byteLength === 0 || filled === output.byteLength ? filled : inflateMembers(members, output, filled)
  } catch (error) {
    if (error instanceof ArchiveError) return null
    throw error
  }
}

function inflateMembers(members: Uint8Array, output: Uint8Array, start: number): number {
  memberEngine ??= new ZlibEngine(createGunzip({ chunkSize: 64 }))
  memberEngine.reset()
  return runAll(memberEngine, members, output, start)
}

/** Of a block that is not compressed (RFC 1951, 3.2.4). */
const storedHeader = (bytes: number): Uint8Array =>
  new Uint8Array([0, bytes & 0xff, bytes >> 8, ~bytes & 0xff, (~bytes >> 8) & 0xff])

/**
 * What is behind the last block, whose first bits alone are here, decodes to nothing. Gives how much of the output is
 * filled then.
 */
function runAll(engine: ZlibEngine, input: Uint8Array, output: Uint8Array, start: number): number {
  engine.write(input)
  let filled = start
  while (filled < output.byteLength) {
    const { used } = engine
    const given = engine.run(constants.Z_NO_FLUSH, output, filled)
    if (given === 0 && engine.used === used) break
    filled += given
  }
  return filled
}
