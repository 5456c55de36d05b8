import type { Clock } from "../lib/clock.ts"
import type { Digest } from "../oci/digest.ts"
import type { DiskIndex } from "./disk-index.ts"

export interface ScrubOptions {
  readonly index: DiskIndex
  /** Hashes a file, and puts it aside when it is wrong. */
  readonly check: (digest: Digest) => Promise<unknown>
  readonly clock: Clock
}

const BYTES_PER_SECOND = 20 * 1024 * 1024
const AGAIN_AFTER_MS = 7 * 24 * 60 * 60 * 1000
/** Serving comes first, also after a restart of a whole fleet. */
const PAUSE_MS = 10 * 60 * 1000

/** Finds rot before a reader does: every file is read again once a week, at a pace that a disk does not notice. */
export async function scrub({ index, check, clock }: ScrubOptions, signal: AbortSignal): Promise<void> {
  const pause = async (ms: number) => await clock.sleep(ms, signal).catch(() => {})
  while (!signal.aborted) {
    await pause(PAUSE_MS)
    for (const { digest, size } of dueEntries(index)) {
      if (signal.aborted) return
      await check(digest)
      await pause((size / BYTES_PER_SECOND) * 1000)
    }
  }
}

const dueEntries = (index: DiskIndex) =>
  [...index.entries()]
    .filter(({ checkedAt }) => Date.now() - checkedAt > AGAIN_AFTER_MS)
    .toSorted((one, other) => one.checkedAt - other.checkedAt)
