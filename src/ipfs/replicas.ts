import type { Breaker } from "../lib/breaker.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Cid } from "./cid.ts"
import type { IpfsCluster } from "./cluster.ts"
import { formatPinName } from "./pin-name.ts"

export interface ReplicasOptions {
  readonly cluster: IpfsCluster
  readonly pinPrefix: string
  /** How long replicas are kept without being asked for again, in milliseconds; 0 is for ever. */
  readonly expireInMs: number
  /** For one question to the cluster. */
  readonly askMs: number
  /** Digest to the time when replicas were last asked for, in milliseconds since the epoch. */
  readonly asked: KeyValue
  readonly breaker: Breaker
  readonly now: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

/** Asks a cluster to hold what this node has; a cluster that fails is asked again later, and holds nobody up. */
export class Replicas {
  readonly #options: ReplicasOptions

  constructor(options: ReplicasOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async want(descriptor: Descriptor, cid: Cid): Promise<void> {
    const { asked, askMs, breaker, cluster, log, metrics, now, pinPrefix } = this.#options
    const count = (result: string) => metrics.ipfsReplicated.inc({ result })
    const { digest } = descriptor
    try {
      const ask = async () => {
        await cluster.pin(cid, formatPinName(pinPrefix, descriptor), descriptor, AbortSignal.timeout(askMs))
        return true
      }
      if ((await breaker.run(ask)) === null) return count("skipped")
      await asked.set(digest, String(now()))
      count("asked")
    } catch (error) {
      count("error")
      log.warn("cannot ask the IPFS Cluster for replicas of a blob", { digest, cid, error })
    }
  }

  /** Whether to ask again: where that has failed, and where a blob that is in use would expire. Never rejects. */
  async isDue(digest: Digest, usedAt: number): Promise<boolean> {
    const { asked, expireInMs, now } = this.#options
    const askedAt = Number(await asked.get(digest)) || 0
    const isOld = expireInMs > 0 && now() - askedAt > expireInMs / 4
    return askedAt === 0 || (isOld && usedAt > askedAt)
  }

  /** From all of its peers. Never rejects. */
  async release(digest: Digest, cid: Cid): Promise<void> {
    const { asked, askMs, breaker, cluster, log } = this.#options
    try {
      await breaker.run(async () => await cluster.unpin(cid, AbortSignal.timeout(askMs)))
      await asked.set(digest, "")
    } catch (error) {
      log.warn("cannot tell the IPFS Cluster that a blob is no longer wanted", { digest, cid, error })
    }
  }
}
