import type { Clock } from "../lib/clock.ts"
import type { BlobSource } from "./blob.ts"

export interface HoldBackPolicy {
  /** Up to this size, bytes leave only after all of them are verified, not just the last one of each response. */
  readonly verifyFirstBytes: number
  /** The same for larger blobs from a hint, but for so long at most: nobody waits for ever for the first byte. */
  readonly hintHoldMs: number
}

export interface HoldBackOptions extends HoldBackPolicy {
  readonly size: number
  /** All sources have been wrong before: the same, where the spool can hold it all. */
  readonly isDistrusted: boolean
  readonly clock: Clock
}

/** Whether bytes may leave before the whole blob is verified. Wrong ones that nobody has seen can be fetched again. */
export class HoldBack {
  readonly #options: HoldBackOptions
  /** When a hint gave its first byte; null: none has. */
  #hintedAt: number | null = null

  constructor(options: HoldBackOptions) {
    this.#options = options
  }

  /** Told of bytes as they come. */
  took({ isHint }: BlobSource): void {
    if (isHint === true) this.#hintedAt ??= this.#options.clock.now()
  }

  /** All bytes so far are thrown away. */
  restart(): void {
    this.#hintedAt = null
  }

  /** A window has room for new bytes only when others have left. `isEarly`: small blobs are no different from large ones. */
  holdsAll(isWindow: boolean, isEarly: boolean): boolean {
    const { clock, hintHoldMs, isDistrusted, size, verifyFirstBytes } = this.#options
    if (size <= verifyFirstBytes && !isEarly) return true
    if (isWindow) return false
    return isDistrusted || (this.#hintedAt !== null && clock.now() - this.#hintedAt < hintHoldMs)
  }
}
