import { expect, test } from "bun:test"
import { systemClock } from "../../src/lib/clock.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { tempDir } from "../helpers/temp-dir.ts"

test("a blob that is kept takes its room once, also while its spool is still open", async () => {
  const log = createLogger({ format: "json", version: "test", level: () => "error", write: () => {} })
  const limits = { maxSizeBytes: 3000, minFreeBytes: 0 }
  const store = new DiskStore({
    root: tempDir(),
    limits,
    recentMs: PRODUCTION.recentMs,
    clock: systemClock,
    log,
    metrics: createMetrics(),
  })
  const bytes = crypto.getRandomValues(new Uint8Array(2000))
  const first = await store.spool(2000)
  await first.write(bytes)
  await first.keep({ mediaType: "application/octet-stream", digest: digestOf(bytes), size: 2000 })

  const second = await store.spool(1000)

  await second.close()
  await first.close()
  await store.close()
  expect(store.findVerified({ mediaType: "", digest: digestOf(bytes), size: 2000 })).not.toBeNull()
})
