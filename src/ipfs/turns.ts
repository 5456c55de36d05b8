import type { BlobSource, ReadyBlob } from "../blob/blob.ts"
import type { Clock } from "../lib/clock.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Leases } from "./leases.ts"

export interface TurnsPolicy {
  /** How long a node waits for another to fetch and share a blob: so long, and so much per mebibyte, but no longer than the last. */
  readonly baseMs: number
  readonly perMebibyteMs: number
  readonly waitMs: number
  readonly firstPollMs: number
  readonly maxPollMs: number
  readonly renewMs: number
  /** Where waiting was in vain, nobody is waited for again so soon. */
  readonly hasteMs: number
}

export interface TurnsOptions {
  readonly leases: Leases
  readonly policy: TurnsPolicy
  readonly clock: Clock
  readonly metrics: Metrics
}

const MEBIBYTE = 1024 * 1024

/**
 * Lets one node fetch a cold blob from its upstream while the others wait a while for it to be shared. Nobody waits
 * longer than that, and without an answer about leases nobody waits at all.
 */
export class Turns {
  readonly #options: TurnsOptions
  readonly #held = new Map<Digest, AbortController>()
  #hastyUntil = 0

  constructor(options: TurnsOptions) {
    this.#options = options
  }

  /** A source that gives null only when it is this node's turn to fetch, or waiting is over. */
  before(source: BlobSource): BlobSource {
    return {
      name: source.name,
      origin: source.origin,
      ...(source.hedgeMs === undefined ? {} : { hedgeMs: source.hedgeMs }),
      ...(source.isHint === undefined ? {} : { isHint: source.isHint }),
      wrong: async (descriptor) => await source.wrong?.(descriptor),
      find: async (descriptor, signal) =>
        (await source.find(descriptor, signal)) ?? (await this.#wait(source, descriptor, signal)),
    }
  }

  /** The blob is shared, or will not be. */
  over(digest: Digest): void {
    const held = this.#held.get(digest)
    if (held === undefined) return
    this.#held.delete(digest)
    held.abort()
    void this.#options.leases.release(digest)
  }

  close(): void {
    for (const digest of [...this.#held.keys()]) this.over(digest)
  }

  async #wait(source: BlobSource, descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    const { clock, leases, policy } = this.#options
    const since = clock.now()
    const patienceMs = Math.min(policy.waitMs, policy.baseMs + (descriptor.size / MEBIBYTE) * policy.perMebibyteMs)
    const waitMs = since < this.#hastyUntil ? 0 : patienceMs
    let pollMs = policy.firstPollMs
    for (;;) {
      const turn = await leases.take(descriptor.digest)
      if (turn === "unknown") return this.#told("alone", null)
      if (turn === "ours") return await this.#own(source, descriptor, signal)
      if (clock.now() - since >= waitMs) return this.#gaveUp(waitMs)
      await clock.sleep(pollMs, signal)
      pollMs = Math.min(pollMs * 2, policy.maxPollMs)
      const blob = await source.find(descriptor, signal)
      if (blob !== null) return this.#told("waiter", blob)
    }
  }

  #gaveUp(waitedMs: number): null {
    const { clock, policy } = this.#options
    if (waitedMs > 0) this.#hastyUntil = clock.now() + policy.hasteMs
    this.#told("impatient", null)
    return null
  }

  /** Whoever had the turn before may have shared the blob since it was looked for. */
  async #own(source: BlobSource, descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    this.#hold(descriptor.digest)
    const blob = await source.find(descriptor, signal)
    if (blob !== null) this.over(descriptor.digest)
    return this.#told("owner", blob)
  }

  #told(role: "owner" | "waiter" | "alone" | "impatient", blob: ReadyBlob | null): ReadyBlob | null {
    this.#options.metrics.nodeTurns.inc({ role })
    return blob
  }

  #hold(digest: Digest): void {
    if (this.#held.has(digest)) return
    const held = new AbortController()
    this.#held.set(digest, held)
    void this.#keep(digest, held.signal)
  }

  async #keep(digest: Digest, signal: AbortSignal): Promise<void> {
    const { clock, leases, policy } = this.#options
    while (!signal.aborted) {
      await clock.sleep(policy.renewMs, signal).catch(() => {})
      if (!signal.aborted) await leases.renew(digest)
    }
  }
}
