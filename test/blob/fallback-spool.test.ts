import { expect, test } from "bun:test"
import { Downloads } from "../../src/blob/downloads.ts"
import { withFallback } from "../../src/blob/fallback-spool.ts"
import type { OpenSpool } from "../../src/blob/spool.ts"
import { WindowSpool } from "../../src/blob/window-spool.ts"
import { readBytes } from "../../src/lib/stream.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { sourceOf } from "../helpers/blob-source.ts"
import { descriptorOf, openTestStore } from "../helpers/disk-store.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { content } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const MIB = 1024 * 1024
const blob = content("application/octet-stream", new Uint8Array(16 * MIB).fill(7))
const descriptor = descriptorOf(blob)

/** A disk that is full after so many bytes. */
const fullAfter =
  (limit: number, open: OpenSpool): OpenSpool =>
  async (size) => {
    const spool = await open(size)
    let left = limit
    return {
      isWindow: false,
      write: async (bytes) => {
        left -= bytes.byteLength
        if (left < 0) throw new Error("ENOSPC: made to fail")
        await spool.write(bytes)
      },
      read: (offset, length) => spool.read(offset, length),
      advance: (slowest, fastest) => spool.advance(slowest, fastest),
      reset: () => spool.reset(),
      keep: (kept) => spool.keep(kept),
      close: () => spool.close(),
    }
  }

test("who waits for bytes far ahead when the disk is full gets them, through memory that holds less", async () => {
  const { store } = openTestStore(tempDir())
  const clock = createFakeClock() // on which no patience ever ends
  const window: OpenSpool = async () =>
    new WindowSpool({ capacity: 2 * MIB, patienceMs: 1000, clock, closed: () => {} })
  const downloads = new Downloads({
    openSpool: withFallback(
      fullAfter(MIB, (size) => store.spool(size)),
      window,
    ),
    policy: { ...PRODUCTION.downloads, random: () => 0 },
    clock,
    log: silentLogger,
    metrics: createMetrics(),
  })

  const found = await downloads.cold(descriptor, [sourceOf(blob)]).obtain(never)
  if (found.kind !== "stream") throw new Error("It is too large for anything else")
  const start = 12 * MIB
  const read = await readBytes(await found.open({ start, end: blob.size }, never), blob.size)
  expect(Buffer.compare(read, blob.bytes.subarray(start))).toBe(0)
  downloads.shutdown()
})
