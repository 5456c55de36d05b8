import { chmodSync, closeSync, openSync, readdirSync, readSync, statSync, utimesSync, writeSync } from "node:fs"
import { join } from "node:path"
import type { Clock } from "../../src/lib/clock.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { DiskStore } from "../../src/store/disk.ts"
import type { StoreLimits } from "../../src/store/quota.ts"
import { createMetrics, type Metrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import type { Content } from "./images.ts"
import { silentLogger } from "./silent-logger.ts"

export interface TestStore {
  readonly store: DiskStore
  readonly metrics: Metrics
}

/** The disk store alone, without limits unless some are given. */
export function openTestStore(
  root: string,
  clock: Clock = systemClock,
  limits: StoreLimits = { maxSizeBytes: 0, minFreeBytes: 0 },
): TestStore {
  const metrics = createMetrics()
  return {
    metrics,
    store: new DiskStore({ root, limits, recentMs: PRODUCTION.recentMs, clock, log: silentLogger, metrics }),
  }
}

export const descriptorOf = ({ mediaType, digest, size }: Content) => ({ mediaType, digest: parseDigest(digest), size })

export async function keep(store: DiskStore, blob: Content): Promise<void> {
  const spool = await store.spool(blob.size)
  await spool.write(blob.bytes)
  await spool.keep(descriptorOf(blob))
  await spool.close()
}

/** Turns one bit, and leaves no trace of it in the file's times, as a disk does that goes bad. */
export function flipBit(path: string, offset: number): void {
  const { atimeMs, mtimeMs } = statSync(path)
  chmodSync(path, 0o600)
  const file = openSync(path, "r+")
  const byte = new Uint8Array(1)
  readSync(file, byte, 0, 1, offset)
  writeSync(file, new Uint8Array([(byte[0] ?? 0) ^ 1]), 0, 1, offset)
  closeSync(file)
  chmodSync(path, 0o400)
  utimesSync(path, atimeMs / 1000, mtimeMs / 1000)
}

/** Names of files that were put aside. */
export const putAside = (root: string): readonly string[] => readdirSync(join(root, "v1/bad"))

export const pathIn = (root: string, digest: string): string =>
  join(root, "v1/blobs/sha256", digest.slice(7, 9), digest.slice(7))
