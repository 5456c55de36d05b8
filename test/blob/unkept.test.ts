import { expect, test } from "bun:test"
import { Downloads } from "../../src/blob/downloads.ts"
import { WindowSpool } from "../../src/blob/window-spool.ts"
import type { Clock } from "../../src/lib/clock.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { sourceOf } from "../helpers/blob-source.ts"
import { descriptorOf } from "../helpers/disk-store.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { content } from "../helpers/images.ts"
import { silentLogger } from "../helpers/silent-logger.ts"

const blob = content("application/octet-stream", new Uint8Array(512 * 1024).fill(7))
const descriptor = descriptorOf(blob)

test("a client that leaves at the moment when its blob is complete holds no memory", async () => {
  const clock = createFakeClock()
  const client = new AbortController()
  /** What waits no longer for the blob ends its patience: just then the client leaves. */
  const leaving: Clock = {
    now: clock.now,
    sleep: async (ms, signal) => {
      if (ms === PRODUCTION.downloads.firstByteMs) signal?.addEventListener("abort", () => client.abort())
      await clock.sleep(ms, signal)
    },
  }
  const closed = Promise.withResolvers<void>()
  const downloads = new Downloads({
    openSpool: async (size) =>
      new WindowSpool({ capacity: size ?? 1, patienceMs: 1000, clock, closed: () => closed.resolve() }),
    policy: { ...PRODUCTION.downloads, random: () => 0 },
    clock: leaving,
    log: silentLogger,
    metrics: createMetrics(),
  })

  await expect(downloads.cold(descriptor, [sourceOf(blob)]).obtain(client.signal)).rejects.toThrow()
  await closed.promise
  downloads.shutdown()
})
