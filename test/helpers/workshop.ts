import { Downloads } from "../../src/blob/downloads.ts"
import type { Workshop } from "../../src/layer/import-layer.ts"
import { systemClock } from "../../src/lib/clock.ts"
import type { Descriptor } from "../../src/oci/descriptor.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { silentLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { tempDir } from "./temp-dir.ts"

export interface TestWorkshop extends Workshop {
  readonly store: DiskStore
  readonly downloads: Downloads
  /** What the store has kept under the descriptor; null if nothing. */
  kept(descriptor: Descriptor): Promise<Uint8Array | null>
}

const POLICY = {
  perSource: 2,
  baseMs: 1,
  capMs: 5,
  patienceMs: 2000,
  random: Math.random,
  verifyFirstBytes: 8 * 1024 * 1024,
  firstByteMs: 2000,
  lingerMs: 10,
  concurrency: 16,
  queueMs: 2000,
  failureMs: 1,
  distrustMs: 1000,
}

/** A store and transfers of its own for tests of layer sources. */
export async function createWorkshop(): Promise<TestWorkshop> {
  const store = await DiskStore.create(tempDir(), silentLogger)
  const openSpool = () => store.spool()
  const downloads = new Downloads({
    openSpool,
    policy: POLICY,
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
  })
  const kept = async (descriptor: Descriptor) => {
    const found = await store.find(descriptor)
    return found === null ? null : await Bun.file(found.path).bytes()
  }
  return { store, openSpool, facts: store.facts("layer"), downloads, kept }
}
