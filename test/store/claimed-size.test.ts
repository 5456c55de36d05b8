import { expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { systemClock } from "../../src/lib/clock.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { tempDir } from "../helpers/temp-dir.ts"

test("a right file stays, whatever somebody claims about its size", async () => {
  const root = tempDir()
  const log = createLogger({ format: "json", version: "test", level: () => "error", write: () => {} })
  const limits = { maxSizeBytes: 0, minFreeBytes: 0 }
  const open = () =>
    new DiskStore({ root, limits, recentMs: PRODUCTION.recentMs, clock: systemClock, log, metrics: createMetrics() })
  const bytes = crypto.getRandomValues(new Uint8Array(2000))
  const right = { mediaType: "application/octet-stream", digest: digestOf(bytes), size: 2000 }
  const first = open()
  const spool = await first.spool(2000)
  await spool.write(bytes)
  await spool.keep(right)
  await spool.close()
  const { signal } = new AbortController()

  expect(await first.find({ ...right, size: 4096 }, signal)).toBeNull()
  expect(await first.find(right, signal)).toMatchObject({ kind: "file" })
  await first.close()
  const second = open()
  expect(await second.find({ ...right, size: 4096 }, signal)).toBeNull()
  expect(await second.find(right, signal)).toMatchObject({ kind: "file" })
  await second.close()
  expect(readdirSync(join(root, "v1/bad"))).toEqual([])
})
