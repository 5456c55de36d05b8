import { LRUCache } from "lru-cache"
import type { BlobSource, ReadyBlob } from "../blob/blob.ts"
import { EgressError } from "../egress/egress.ts"
import type { Breaker } from "../lib/breaker.ts"
import type { Clock } from "../lib/clock.ts"
import type { ByteRange } from "../lib/range.ts"
import { begunStream } from "../lib/stream.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { type Cid, derivedCid } from "./cid.ts"
import type { CidIndex } from "./cid-index.ts"
import type { IpfsNode } from "./node.ts"
import { RememberedCids } from "./remembered-cids.ts"
import type { Profile } from "./unixfs.ts"

export interface IpfsPolicy {
  /** To learn whether content is on the node itself. */
  readonly probeMs: number
  /** To the first byte of content that is there. */
  readonly localMs: number
  /** To the first byte of content that is with others. */
  readonly swarmMs: number
  /** Without a first byte for so long, the next source is asked as well. */
  readonly hedgeMs: number
  /** For so long a CID that was wrong is not asked for again, and one that could not be had counts as one failure. */
  readonly shunMs: number
}

/** Each kind of trouble by itself: content that others have lost is no reason to leave alone what the node has. */
export interface IpfsBreakers {
  readonly probe: Breaker
  readonly local: Breaker
  readonly swarm: Breaker
}

export interface IpfsSourceOptions {
  readonly node: IpfsNode
  readonly index: CidIndex
  readonly profile: Profile
  readonly breakers: IpfsBreakers
  readonly policy: IpfsPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const MAX_REMEMBERED = 10_000

interface Place {
  readonly descriptor: Descriptor
  readonly cid: Cid
  readonly isLocal: boolean
}

/** Its length alone tells that it is not the blob. */
const isOtherContent = (error: unknown): boolean => error instanceof EgressError && error.fault === "answer"

class LeftAloneError extends Error {
  override readonly name = "LeftAloneError"
}

/** Blobs that other nodes have added. What it gives is a hint like everything else: the reader verifies every byte. */
export class IpfsSource implements BlobSource {
  readonly name = "ipfs"
  readonly origin = "ipfs"
  readonly hedgeMs: number
  readonly isHint = true
  readonly #options: IpfsSourceOptions
  /** Not asked for. */
  readonly #wrong: RememberedCids
  /** That they cannot be had is no news. */
  readonly #missing: RememberedCids
  /** What blobs were read by last. */
  readonly #read = new LRUCache<string, Cid>({ max: MAX_REMEMBERED })

  constructor(options: IpfsSourceOptions) {
    this.#options = options
    const { hedgeMs, shunMs } = options.policy
    this.hedgeMs = hedgeMs
    this.#wrong = new RememberedCids(options.clock, shunMs)
    this.#missing = new RememberedCids(options.clock, shunMs)
  }

  async find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    const { index, profile } = this.#options
    if (descriptor.size === 0) return null
    const known = await index.find(descriptor.digest)
    const cid = known ?? derivedCid(descriptor.digest, descriptor.size, profile.chunkBytes)
    if (cid === null || this.#wrong.has(descriptor.digest, cid)) return null
    const isLocal = await this.#probe(cid, signal)
    if (isLocal === null || (!isLocal && known === null)) return null
    const place = { descriptor, cid, isLocal }
    return { kind: "stream", descriptor, open: (range, opener) => this.#open(place, range, opener) }
  }

  /** What was read was not the blob: whoever wrote the entry was wrong. */
  async wrong({ digest }: Descriptor): Promise<void> {
    const cid = this.#read.get(digest)
    if (cid !== undefined) await this.#forget(digest, cid)
  }

  async #forget(digest: Digest, cid: Cid): Promise<void> {
    this.#wrong.add(digest, cid)
    await this.#options.index.drop(digest, cid)
  }

  /** Null: the node does not tell. */
  async #probe(cid: Cid, signal: AbortSignal): Promise<boolean | null> {
    const { breakers, metrics, node, policy } = this.#options
    const late = AbortSignal.timeout(policy.probeMs)
    const count = (result: string) => metrics.ipfsRequests.inc({ op: "probe", result })
    try {
      const ask = () => node.has(cid, AbortSignal.any([signal, late]))
      const isLocal = await breakers.probe.run(ask, () => !signal.aborted)
      count(isLocal === null ? "skipped" : isLocal ? "hit" : "miss")
      return isLocal
    } catch {
      count(signal.aborted ? "left" : "error")
      return null
    }
  }

  /** Resolves with the first byte: a node may say that it has content long before it finds out that it has not. */
  async #open(place: Place, range: ByteRange, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { breakers, clock, log, metrics, policy } = this.#options
    const { cid, descriptor, isLocal } = place
    const op = isLocal ? "local" : "swarm"
    const since = clock.now()
    // One blob that nobody has any more says nothing about the others, however often it is asked for
    const isKnown = this.#missing.has(descriptor.digest, cid)
    // Who leaves for a faster source has waited; who leaves before has not
    const isFault = (error: unknown) =>
      !isKnown && (signal.aborted ? clock.now() - since >= policy.hedgeMs : !isOtherContent(error))
    try {
      const stream = await breakers[op].run(() => this.#begin(place, range, signal), isFault)
      if (stream === null) throw new LeftAloneError("IPFS is left alone for a while")
      metrics.ipfsRequests.inc({ op, result: "hit" })
      this.#read.set(descriptor.digest, cid)
      return stream
    } catch (error) {
      metrics.ipfsRequests.inc({ op, result: this.#failed(place, error, signal) })
      log.debug("cannot read blob from IPFS", { digest: descriptor.digest, cid, error })
      throw error
    }
  }

  #failed({ cid, descriptor }: Place, error: unknown, signal: AbortSignal): "left" | "skipped" | "error" {
    if (signal.aborted) return "left"
    if (error instanceof LeftAloneError) return "skipped"
    if (isOtherContent(error)) void this.#forget(descriptor.digest, cid)
    else this.#missing.add(descriptor.digest, cid)
    return "error"
  }

  async #begin(
    { cid, descriptor, isLocal }: Place,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<ReadableStream<Uint8Array>> {
    const { node, policy } = this.#options
    const late = new AbortController()
    const timer = setTimeout(
      () => late.abort(new Error(`IPFS has not found ${cid} in time`)),
      isLocal ? policy.localMs : policy.swarmMs,
    )
    const either = AbortSignal.any([signal, late.signal])
    try {
      return await begunStream(await node.open(cid, range, descriptor.size, either), either)
    } finally {
      clearTimeout(timer)
    }
  }
}
