import { expect, test } from "bun:test"
import type { Frame } from "../../src/archive/frame.ts"
import type { LayerEntry } from "../../src/archive/layer-entry.ts"
import { encodeIndex, LayerIndex } from "../../src/archive/layer-index.ts"
import { Downloads } from "../../src/blob/downloads.ts"
import type { Spool } from "../../src/blob/spool.ts"
import { Contents } from "../../src/blobserve/contents.ts"
import { GrowingLayer } from "../../src/blobserve/growing-layer.ts"
import { OpenLayer } from "../../src/blobserve/open-layer.ts"
import { type Pack, readFrames } from "../../src/blobserve/pack.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const signal = AbortSignal.any([])
const bytes = crypto.getRandomValues(new Uint8Array(65_536 + 100))
const digest = digestOf(bytes)
const frame: Frame = {
  start: 0,
  bytes: bytes.byteLength,
  packOffset: 0,
  packedBytes: bytes.byteLength,
  sourceOffset: 0,
  sourceBytes: 0,
}
const entry = (size: number): LayerEntry => ({
  path: "f",
  type: "file",
  link: "",
  mode: 0o644,
  mtime: 0,
  size,
  offset: 0,
  sha256: digestOf(bytes.subarray(0, size)).slice("sha256:".length),
})

function spool(): Spool & { isClosed: boolean } {
  let written = new Uint8Array(0)
  return {
    isWindow: false,
    isClosed: false,
    write: async (piece) => {
      written = new Uint8Array(piece)
    },
    async read(offset, length) {
      if (this.isClosed) throw new Error("The spool is closed")
      return written.subarray(offset, offset + length)
    },
    advance: () => {},
    reset: async () => {},
    keep: async () => null,
    async close() {
      this.isClosed = true
    },
  }
}

function contents(): Contents {
  const log = createLogger({ format: "json", version: "test", level: () => "error", write: () => {} })
  const metrics = createMetrics()
  const clock = systemClock
  const store = new DiskStore({
    root: tempDir(),
    limits: { maxSizeBytes: 0, minFreeBytes: 0 },
    recentMs: PRODUCTION.recentMs,
    clock,
    log,
    metrics,
  })
  const policy = { ...PRODUCTION.downloads, random: Math.random, concurrency: 4 }
  const downloads = new Downloads({ openSpool: (size) => store.spool(size), policy, clock, log, metrics })
  return new Contents({ store, downloads, memoryBytes: 1e6, lingerMs: 0, clock, background: signal })
}

const kept: Pack = {
  open: async () => {
    const pack = { read: async (at: number, length: number) => bytes.subarray(at, at + length) }
    return readFrames([frame], { pack, layer: null }, async () => {})
  },
}

async function growing(place = spool()): Promise<{ readonly layer: OpenLayer; readonly end: () => Promise<void> }> {
  const grown = new GrowingLayer({ pack: place, layer: null })
  await grown.take({ entries: [entry(bytes.byteLength)], frames: [frame], packed: [new Uint8Array(bytes)] })
  const layer = new OpenLayer(digest, digest)
  layer.grow(grown.entries, grown)
  const end = async () => {
    layer.complete({ index: new LayerIndex(encodeIndex(() => [entry(bytes.byteLength)], [frame])), pack: kept })
    await grown.end()
  }
  return { layer, end }
}

test("a file that was found while its layer was scanned can be read after the scan has ended", async () => {
  const { layer, end } = await growing()
  const blob = await contents().locate(entry(bytes.byteLength), layer, signal)
  await end()

  if (blob.kind !== "stream") throw new Error(`It is ${blob.kind}`)
  const stream = await blob.open({ start: 0, end: bytes.byteLength }, signal)
  expect(digestOf(await new Response(stream).bytes())).toBe(digest)
})

test("a file that is read when the scan ends is read to its end", async () => {
  const { layer, end } = await growing()
  const blob = await contents().locate(entry(bytes.byteLength), layer, signal)
  if (blob.kind !== "stream") throw new Error(`It is ${blob.kind}`)
  const stream = await blob.open({ start: 0, end: bytes.byteLength }, signal)
  await end()

  expect(digestOf(await new Response(stream).bytes())).toBe(digest)
})

test("a client that leaves before its first byte holds nothing open", async () => {
  const place = spool()
  const { layer, end } = await growing(place)
  const blob = await contents().locate(entry(bytes.byteLength), layer, signal)
  if (blob.kind !== "stream") throw new Error(`It is ${blob.kind}`)
  await (await blob.open({ start: 0, end: bytes.byteLength }, signal)).cancel()
  await end()

  expect(place.isClosed).toBe(true)
})
