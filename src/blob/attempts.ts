import { backoffMs } from "../lib/backoff.ts"
import type { Clock } from "../lib/clock.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { RegistryError } from "../oci/error.ts"
import { errorText } from "../telemetry/log.ts"
import { type BlobSource, sourceKey } from "./blob.ts"

export interface AttemptPolicy {
  /** Failures of one source without progress until it is given up. */
  readonly perSource: number
  readonly baseMs: number
  readonly capMs: number
  /** The longest wait that a source may ask for with Retry-After. */
  readonly patienceMs: number
  readonly clock: Clock
  readonly random: () => number
}

interface Candidate {
  readonly source: BlobSource
  failures: number
  mismatches: number
  notBefore: number
}

const MAX_MISMATCHES = 2
/** Of a hint: it is worth a second look where all else fails, not the whole time that a client waits. */
const MAX_HINT_FAILURES = 2

/** A source whose failure is final for this blob: asking again gives the same answer. */
const isFinal = (error: unknown): boolean => error instanceof RegistryError && !error.mayPass

const byTrust = (one: Candidate, other: Candidate): number =>
  one.mismatches - other.mismatches || one.notBefore - other.notBefore

/**
 * Which source to read from next. Sources are tried in their order; one that fails is tried again after the others,
 * with backoff, as long as bytes keep coming. Not for concurrent use.
 */
export class Attempts {
  readonly #descriptor: Descriptor
  readonly #policy: AttemptPolicy
  readonly #candidates: Candidate[] = []
  readonly #errors = new Map<string, unknown>()
  /** What hints failed with, which is told only where nothing else failed: the blob should be had without them. */
  readonly #hintErrors = new Map<string, unknown>()
  #latest: unknown = null
  /** What to call a source in messages, by its key. */
  readonly #known = new Map<string, string>()

  constructor(descriptor: Descriptor, sources: readonly BlobSource[], policy: AttemptPolicy) {
    this.#descriptor = descriptor
    this.#policy = policy
    this.add(sources)
  }

  /** Adds what a later reader knows; a source that is known or given up already is not tried again. */
  add(sources: readonly BlobSource[]): void {
    for (const source of sources) {
      const key = sourceKey(source)
      if (this.#known.has(key)) continue
      this.#known.set(key, `${source.name} ${source.origin}`)
      this.#candidates.push({ source, failures: 0, mismatches: 0, notBefore: 0 })
    }
  }

  /** Whether the source is one of those that are, or were, tried here. */
  knows(source: BlobSource): boolean {
    return this.#known.has(sourceKey(source))
  }

  /** Waits until a source may be asked. Null: every source is given up. */
  async next(signal: AbortSignal): Promise<BlobSource | null> {
    const candidate = this.#candidates.toSorted(byTrust)[0]
    if (candidate === undefined) return null
    const wait = candidate.notBefore - this.#policy.clock.now()
    if (wait > 0) await this.#policy.clock.sleep(wait, signal)
    return candidate.source
  }

  /** Another source that may be asked now. Null: there is none. */
  other(source: BlobSource): BlobSource | null {
    const now = this.#policy.clock.now()
    const others = this.#candidates.filter((candidate) => candidate.source !== source && candidate.notBefore <= now)
    return others.toSorted(byTrust)[0]?.source ?? null
  }

  /** The source does not have the blob. */
  absent(source: BlobSource): void {
    this.#drop(source)
  }

  /** The source failed; `progressed` tells that it gave a worthwhile amount of bytes before. */
  failed(source: BlobSource, error: unknown, progressed: boolean): void {
    if (source.isHint !== true) this.#latest = error
    this.#note(source, error)
    const candidate = this.#candidates.find((other) => other.source === source)
    if (candidate === undefined) return
    candidate.failures = progressed ? 0 : candidate.failures + 1
    const most = source.isHint === true ? MAX_HINT_FAILURES : this.#policy.perSource
    if (isFinal(error) || candidate.failures >= most) this.#drop(source)
    candidate.notBefore = this.#policy.clock.now() + this.#waitMs(candidate.failures, error)
  }

  /** The source gave wrong bytes. It is asked once more, after all others: what passed on the way may have done it. */
  mismatched(source: BlobSource, error: unknown): void {
    this.#note(source, error)
    const candidate = this.#candidates.find((other) => other.source === source)
    if (candidate === undefined) return
    candidate.mismatches += 1
    if (candidate.mismatches >= MAX_MISMATCHES) this.#drop(source)
    candidate.notBefore = this.#policy.clock.now() + backoffMs(candidate.mismatches, this.#policy)
  }

  #note({ isHint, origin }: BlobSource, error: unknown): void {
    const errors = isHint === true ? this.#hintErrors : this.#errors
    errors.set(origin, error)
  }

  #waitMs(failures: number, error: unknown): number {
    const asked = error instanceof RegistryError ? error.askedMs : 0
    return Math.max(Math.min(asked, this.#policy.patienceMs), backoffMs(failures, this.#policy))
  }

  #drop(source: BlobSource): void {
    const index = this.#candidates.findIndex((candidate) => candidate.source === source)
    if (index !== -1) this.#candidates.splice(index, 1)
  }

  /** The latest failure that may pass: why it takes so long, for a client that cannot wait for the end. */
  get trouble(): RegistryError | null {
    return this.#latest instanceof RegistryError && this.#latest.mayPass ? this.#latest : null
  }

  /** What to tell the client once every source is given up. */
  failure(): RegistryError {
    const byOrigin = this.#errors.size === 0 ? this.#hintErrors : this.#errors
    const errors = [...byOrigin.values()]
    const known = errors.filter((error) => error instanceof RegistryError)
    const told =
      known.find((error) => error.code !== "BLOB_UNKNOWN") ?? (known.length === errors.length ? known[0] : undefined)
    if (told !== undefined) return told
    const { digest } = this.#descriptor
    if (errors.length === 0) {
      return new RegistryError(
        "BLOB_UNKNOWN",
        `Cannot find blob ${digest}: none of its sources has it (${[...new Set(this.#known.values())].join(", ")})`,
      )
    }
    const reasons = [...byOrigin].map(([origin, error]) => `${origin}: ${errorText(error)}`).join("; ")
    return new RegistryError("UNAVAILABLE", `Cannot fetch blob ${digest}: ${reasons}`, {
      retryAfterSeconds: 2,
      culprit: [...byOrigin.keys()].join(", "),
      cause: new AggregateError(errors),
    })
  }
}
