import { openAt } from "../../src/blob/blob.ts"
import { Downloads } from "../../src/blob/downloads.ts"
import type { Workshop } from "../../src/layer/import-layer.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { readBytes } from "../../src/lib/stream.ts"
import type { Descriptor } from "../../src/oci/descriptor.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { silentLogger } from "./silent-logger.ts"
import { tempDir } from "./temp-dir.ts"

export interface TestWorkshop extends Workshop {
  readonly store: DiskStore
  readonly downloads: Downloads
  /** What the store has kept under the descriptor; null if nothing. */
  kept(descriptor: Descriptor): Promise<Uint8Array | null>
}

/** A store and transfers of its own for tests of layer sources. */
export async function createWorkshop(): Promise<TestWorkshop> {
  const limits = { maxSizeBytes: 0, minFreeBytes: 0 }
  const metrics = createMetrics()
  const store = new DiskStore({
    root: tempDir(),
    limits,
    recentMs: PRODUCTION.recentMs,
    clock: systemClock,
    log: silentLogger,
    metrics,
  })
  const openSpool = (size: number | null) => store.spool(size)
  const policy = { ...PRODUCTION.downloads, perSource: 2, baseMs: 1, capMs: 5, patienceMs: 2000, random: Math.random }
  const downloads = new Downloads({ openSpool, policy, clock: systemClock, log: silentLogger, metrics })
  const kept = async (descriptor: Descriptor) => {
    const found = await store.find(descriptor, new AbortController().signal)
    return found === null
      ? null
      : await readBytes(await openAt(found, 0, new AbortController().signal), descriptor.size)
  }
  return { store, openSpool, facts: store.facts("layer"), downloads, kept }
}
