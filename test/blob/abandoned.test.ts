import { describe, expect, test } from "bun:test"
import type { BlobSource, ReadyBlob } from "../../src/blob/blob.ts"
import { Downloads } from "../../src/blob/downloads.ts"
import type { OpenSpool } from "../../src/blob/spool.ts"
import { WindowSpool } from "../../src/blob/window-spool.ts"
import type { ByteRange } from "../../src/lib/range.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { descriptorOf, openTestStore } from "../helpers/disk-store.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { content } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

const blob = content("application/octet-stream", new Uint8Array(16 * 1024 * 1024).fill(7))
const descriptor = descriptorOf(blob)

/** An upstream that goes on for as long as it is read, or stops in the middle and waits. */
function upstream() {
  const seen = { isSlow: true, opened: 0, cancelled: 0 }
  const open = async ({ start, end }: ByteRange, signal: AbortSignal) => {
    seen.opened += 1
    let position = start
    return new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          if (position === end) return controller.close()
          if (seen.isSlow && position > 0) return stuck(signal)
          const next = Math.min(end, position + 1024 * 1024)
          controller.enqueue(blob.bytes.slice(position, next))
          position = next
        },
        cancel: () => {
          seen.cancelled += 1
        },
      },
      { highWaterMark: 0 },
    )
  }
  const found: ReadyBlob = { kind: "stream", descriptor, open }
  const source: BlobSource = { name: "upstream", origin: "up.test", find: async () => found }
  return { seen, source }
}

/** Until whoever reads gives it up. */
async function stuck(signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<void>()
  signal.addEventListener("abort", () => reject(signal.reason), { once: true })
  await promise
}

function start(openSpool: OpenSpool) {
  const clock = createFakeClock()
  let ended = 0
  const downloads = new Downloads({
    openSpool,
    policy: { ...PRODUCTION.downloads, finishBytes: 0, random: () => 0 },
    clock,
    log: silentLogger,
    metrics: createMetrics(),
    ended: () => {
      ended += 1
    },
  })
  const open = async (source: BlobSource) => {
    const found = await downloads.cold(descriptor, [source]).obtain(never)
    if (found.kind !== "stream") throw new Error("It is too large for anything else")
    return (await found.open({ start: 0, end: blob.size }, never)).getReader()
  }
  return { clock, downloads, ended: () => ended, open }
}

describe("a transfer that nobody reads any more", () => {
  test("ends where it waits for room in memory, too, and gives the memory back", async () => {
    const windowClock = createFakeClock()
    const closing = Promise.withResolvers<void>()
    const { clock, downloads, ended, open } = start(
      async () =>
        new WindowSpool({
          capacity: 4 * 1024 * 1024,
          patienceMs: 1000,
          clock: windowClock,
          closed: () => void closing.resolve(),
        }),
    )
    const { seen, source } = upstream()
    seen.isSlow = false
    const reader = await open(source)
    await reader.read()
    await until(() => windowClock.sleeping.length > 0) // the window is full
    await reader.cancel()
    await until(() => clock.sleeping.includes(PRODUCTION.downloads.lingerMs))
    clock.advance(PRODUCTION.downloads.lingerMs)

    await until(() => ended() === 1)
    await closing.promise
    expect(seen.cancelled).toBe(1)
    downloads.shutdown()
  })

  test("is no failure for whoever asks a moment later", async () => {
    const { store } = openTestStore(tempDir())
    const { clock, downloads, ended, open } = start((size) => store.spool(size))
    const { seen, source } = upstream()
    const reader = await open(source)
    await reader.read()
    await reader.cancel()
    await until(() => clock.sleeping.includes(PRODUCTION.downloads.lingerMs))
    clock.advance(PRODUCTION.downloads.lingerMs)
    await until(() => ended() === 1)
    seen.isSlow = false

    const again = await open(source)
    expect((await again.read()).value?.byteLength).toBeGreaterThan(0)
    await again.cancel()
    downloads.shutdown()
  })
})
