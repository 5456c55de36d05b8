import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { OpenSpool } from "../blob/spool.ts"
import { WindowSpool } from "../blob/window-spool.ts"
import type { RegistryConfig } from "../config/load.ts"
import { Semaphore } from "../lib/semaphore.ts"
import { RegistryError } from "../oci/error.ts"
import { DiskStore } from "../store/disk.ts"
import type { Tuning } from "../tuning.ts"
import type { Tools } from "./tools.ts"

/** The disk store of a configuration; nothing is read or written until it is used. */
export function openStore(
  config: RegistryConfig & { readonly store: string },
  { log, metrics, tuning }: Omit<Tools, "readiness" | "tracer">,
): DiskStore {
  const limits = { maxSizeBytes: config.storeMaxSizeBytes, minFreeBytes: config.storeMinFreeBytes }
  const { clock, recentMs } = tuning
  return new DiskStore({ root: config.store, limits, recentMs, clock, log, metrics })
}

/** Looks after the store while it serves. */
export async function keepUp(store: DiskStore, { clock, maintenanceMs }: Tuning, signal: AbortSignal): Promise<void> {
  void store.scrub(signal)
  while (!signal.aborted) {
    await store.maintain()
    await clock.sleep(maintenanceMs, signal).catch(() => {})
  }
}

/** Memory for blobs that no disk can take: a bounded number of windows, each of bounded size. */
export function windowSpools({ clock, downloads, windows }: Tuning): OpenSpool {
  const slots = new Semaphore(windows.count)
  return async (size) => {
    const patience = { clock, patienceMs: downloads.queueMs }
    const release = await slots.acquireInTime(patience).catch((cause) => {
      const message = "The store takes nothing, and too many blobs pass through memory already, try again"
      throw new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 5, cause })
    })
    const capacity = size !== null && size <= downloads.verifyFirstBytes ? Math.max(size, 1) : windows.bytes
    return new WindowSpool({ capacity, patienceMs: windows.patienceMs, clock, closed: release })
  }
}

/** A configured store, or a directory of this process alone. */
export async function storeDirectory({ store }: RegistryConfig) {
  if (store !== null) return { path: store, remove: async () => {} }
  const path = await mkdtemp(join(tmpdir(), "registry-facade-"))
  return { path, remove: async () => await rm(path, { recursive: true, force: true }) }
}
