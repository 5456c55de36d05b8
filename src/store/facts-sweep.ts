import type { Clock } from "../lib/clock.ts"
import type { DiskPaths } from "./disk-path.ts"
import { type FileTotals, type TrimBounds, trimFiles, UNBOUNDED } from "./trim-files.ts"

/** What can be found out again: so long unused it is forgotten, and the oldest of too many. */
const BOUNDS: TrimBounds = {
  maxAgeMs: 30 * 24 * 60 * 60 * 1000,
  maxBytes: 256 * 1024 * 1024,
  maxFiles: 100_000,
}
const EVERY_MS = 24 * 60 * 60 * 1000

/** Bounds the facts of all kinds, now and then. */
export class FactsSweep {
  readonly #paths: DiskPaths
  readonly #clock: Clock
  #nextAt = Number.NEGATIVE_INFINITY

  constructor(paths: DiskPaths, clock: Clock) {
    this.#paths = paths
    this.#clock = clock
  }

  /** Rejects when the directory cannot be read. */
  async run(): Promise<void> {
    const now = this.#clock.now()
    if (now < this.#nextAt) return
    this.#nextAt = now + EVERY_MS
    await trimFiles(this.#paths.facts, BOUNDS)
  }

  async totals(): Promise<FileTotals> {
    return await trimFiles(this.#paths.facts, UNBOUNDED)
  }
}
