import { LRUCache } from "lru-cache"
import type { BlobSource, ReadyBlob } from "../blob/blob.ts"
import type { Breaker } from "../lib/breaker.ts"
import type { Clock } from "../lib/clock.ts"
import type { ByteRange } from "../lib/range.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { type Cid, derivedCid } from "./cid.ts"
import type { CidIndex } from "./cid-index.ts"
import type { IpfsNode } from "./node.ts"
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
  /** For so long a CID that could not be had, or was wrong, is not asked for again. */
  readonly shunMs: number
}

export interface IpfsSourceOptions {
  readonly node: IpfsNode
  readonly index: CidIndex
  readonly profile: Profile
  readonly breaker: Breaker
  readonly policy: IpfsPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

const MAX_SHUNNED = 10_000

/** Blobs that other nodes have added. What it gives is a hint like everything else: the reader verifies every byte. */
export class IpfsSource implements BlobSource {
  readonly name = "ipfs"
  readonly origin = "ipfs"
  readonly hedgeMs: number
  readonly #options: IpfsSourceOptions
  /** `digest cid` to the time until which it is not asked for. */
  readonly #shunned = new LRUCache<string, number>({ max: MAX_SHUNNED })

  constructor(options: IpfsSourceOptions) {
    this.#options = options
    this.hedgeMs = options.policy.hedgeMs
  }

  async find(descriptor: Descriptor, signal: AbortSignal): Promise<ReadyBlob | null> {
    const { breaker, index, metrics, profile } = this.#options
    if (descriptor.size === 0) return null
    const known = await index.find(descriptor.digest)
    const cid = known ?? derivedCid(descriptor.digest, descriptor.size, profile.chunkBytes)
    if (cid === null || this.#isShunned(descriptor, cid)) return null
    const isLocal = await breaker.run(() => this.#probe(cid, signal)).catch(() => null)
    metrics.ipfsRequests.inc({ op: "probe", result: isLocal === null ? "error" : isLocal ? "hit" : "miss" })
    if (isLocal === null || (!isLocal && known === null)) return null
    const open = (range: ByteRange, opener: AbortSignal) =>
      this.#open(descriptor, cid, range, { isLocal, signal: opener })
    return { kind: "stream", descriptor, open }
  }

  /** What was read was not the blob: whoever wrote the entry was wrong. */
  async wrong({ digest }: Descriptor): Promise<void> {
    const cid = await this.#options.index.find(digest)
    if (cid === null) return
    this.#shun(digest, cid)
    await this.#options.index.drop(digest, cid)
  }

  #isShunned({ digest }: Descriptor, cid: Cid): boolean {
    return (this.#shunned.get(`${digest} ${cid}`) ?? 0) > this.#options.clock.now()
  }

  #shun(digest: string, cid: Cid): void {
    this.#shunned.set(`${digest} ${cid}`, this.#options.clock.now() + this.#options.policy.shunMs)
  }

  async #probe(cid: Cid, signal: AbortSignal): Promise<boolean> {
    const late = AbortSignal.timeout(this.#options.policy.probeMs)
    return await this.#options.node.has(cid, AbortSignal.any([signal, late]))
  }

  async #open(
    descriptor: Descriptor,
    cid: Cid,
    range: ByteRange,
    { isLocal, signal }: { readonly isLocal: boolean; readonly signal: AbortSignal },
  ): Promise<ReadableStream<Uint8Array>> {
    const { log, metrics, node, policy } = this.#options
    const late = new AbortController()
    const timer = setTimeout(
      () => late.abort(new Error(`IPFS has not found ${cid} in time`)),
      isLocal ? policy.localMs : policy.swarmMs,
    )
    const op = isLocal ? "local" : "swarm"
    try {
      const stream = await node.open(cid, range, descriptor.size, AbortSignal.any([signal, late.signal]))
      metrics.ipfsRequests.inc({ op, result: "hit" })
      return stream
    } catch (error) {
      if (!signal.aborted) this.#shun(descriptor.digest, cid)
      metrics.ipfsRequests.inc({ op, result: signal.aborted ? "left" : "error" })
      log.debug("cannot read blob from IPFS", { digest: descriptor.digest, cid, error })
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}
