import { mayBeginBlock } from "./block-header.ts"
import { inflatePart } from "./inflate-part.ts"

/** So much of what follows decides. */
const SAMPLE_BYTES = 4096
const SOURCE_BYTES = 8192

/**
 * How many bits of the first byte, 1 to 8, come before the block that begins in it or after it: zlib tells between which
 * bytes a block ends, and not at which bit. `content` is what the block holds, and what follows. Null: not just one answer
 * gives that content.
 */
export function findBlockStart(source: Uint8Array, window: Uint8Array, content: Uint8Array): number | null {
  const sample = source.subarray(0, SOURCE_BYTES)
  const output = new Uint8Array(Math.min(SAMPLE_BYTES, content.byteLength))
  const possible = [1, 2, 3, 4, 5, 6, 7, 8].filter((skip) => {
    if (!mayBeginBlock(sample, skip)) return false
    const filled = inflatePart({ source: sample, skip, window }, output)
    return filled !== null && Buffer.compare(output.subarray(0, filled), content.subarray(0, filled)) === 0
  })
  const [skip] = possible
  return skip !== undefined && possible.length === 1 ? skip : null
}
