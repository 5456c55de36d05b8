import { constants, createInflateRaw } from "node:zlib"
import { ArchiveError } from "./archive-error.ts"
import { emptyBlocks } from "./empty-blocks.ts"
import { ZlibEngine } from "./zlib-engine.ts"

/** How far back a block may refer (RFC 1951, 2). */
export const WINDOW_BYTES = 32 * 1024

/** Blocks of deflate from the middle of a stream. */
export interface BlockRun {
  readonly source: Uint8Array
  /** How many bits of the first byte belong to what is before, 0 to 7, or all 8. */
  readonly skip: number
  /** What the blocks may refer to. */
  readonly window: Uint8Array
}

/** Fills `output` as far as the blocks go. Gives how many bytes that are; null when they are damaged. */
export function inflatePart({ skip, source, window }: BlockRun, output: Uint8Array): number | null {
  const engine = new ZlibEngine(
    createInflateRaw({ chunkSize: 64, ...(window.byteLength === 0 ? {} : { dictionary: window }) }),
  )
  try {
    let filled = 0
    for (const input of [emptyBlocks(skip % 8, source[0] ?? 0), source.subarray(1)]) {
      engine.write(input)
      filled += runAll(engine, output, filled)
    }
    return filled
  } catch (error) {
    if (error instanceof ArchiveError) return null
    throw error
  } finally {
    engine.close()
  }
}

/** From block to block, so that nothing is read of the block after the last one, whose first bits alone are here. */
function runAll(engine: ZlibEngine, output: Uint8Array, start: number): number {
  let filled = start
  while (filled < output.byteLength) {
    const { used } = engine
    const given = engine.run(constants.Z_BLOCK, output, filled)
    if (given === 0 && engine.used === used) break
    filled += given
  }
  return filled - start
}
