import type { DiskPaths } from "./disk-path.ts"
import { type FileTotals, type TrimBounds, trimFiles, UNBOUNDED } from "./trim-files.ts"

/** Long enough for people to look at them. */
const BOUNDS: TrimBounds = { maxAgeMs: 30 * 24 * 60 * 60 * 1000, maxBytes: 1024 * 1024 * 1024, maxFiles: 1000 }

/** The files that were not what their names said: kept for people, as long as blobs do not need their room. */
export class PutAside {
  readonly #paths: DiskPaths
  #bytes = 0

  constructor(paths: DiskPaths) {
    this.#paths = paths
  }

  /** As far as this process knows. */
  get bytes(): number {
    return this.#bytes
  }

  add(bytes: number): void {
    this.#bytes += bytes
  }

  async totals(): Promise<FileTotals> {
    return await this.#trim(UNBOUNDED)
  }

  /** Removes old ones. Rejects when the directory cannot be read. */
  async sweep(): Promise<void> {
    await this.#trim(BOUNDS)
  }

  /** Removes the oldest ones that together have at least `bytes`, or all; gives how many bytes that were. */
  async free(bytes: number): Promise<number> {
    if (this.#bytes === 0) return 0
    const { bytes: before } = await this.totals()
    const { bytes: after } = await this.#trim({ ...BOUNDS, maxBytes: Math.max(0, before - bytes) })
    return before - after
  }

  async #trim(bounds: TrimBounds): Promise<FileTotals> {
    const totals = await trimFiles(this.#paths.bad, bounds)
    this.#bytes = totals.bytes
    return totals
  }
}
