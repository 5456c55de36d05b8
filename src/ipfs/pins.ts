import type { KeyValue } from "../lib/key-value.ts"
import type { Digest } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Cid } from "./cid.ts"
import type { CidIndex } from "./cid-index.ts"
import type { IpfsNode } from "./node.ts"
import { parsePinName } from "./pin-name.ts"

export interface PinsOptions {
  readonly node: IpfsNode
  readonly index: CidIndex
  /** What all nodes know, asked without what this one remembers; null where it is alone. */
  readonly shared: CidIndex | null
  readonly pinPrefix: string
  /** What the node may hold; 0 is no limit. */
  readonly budgetBytes: number
  /** Digest to the time of last use, in milliseconds since the epoch. */
  readonly uses: KeyValue
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
}

export interface OwnPin {
  readonly digest: Digest
  readonly cid: Cid
  readonly size: number
}

/** Above the budget, room is made down to this part of it. */
const TARGET = 0.9
/** How exact the time of last use is. */
const USE_MS = 60 * 60_000
const MEDIA_TYPE = "application/octet-stream"

/** Looks after what this node has pinned for us; pins of others are never touched. */
export class Pins {
  readonly #options: PinsOptions

  constructor(options: PinsOptions) {
    this.#options = options
  }

  /** Those of ours on this node. Rejects when the node fails. */
  async list(signal: AbortSignal): Promise<readonly OwnPin[]> {
    const { node, pinPrefix } = this.#options
    const own: OwnPin[] = []
    for await (const { cid, name } of node.pins(pinPrefix, signal)) {
      const parsed = parsePinName(pinPrefix, name)
      if (parsed !== null) own.push({ ...parsed, cid })
    }
    return own
  }

  /** Notes that a blob is wanted. Never rejects. */
  async used(digest: Digest): Promise<void> {
    const { now, uses } = this.#options
    const last = Number(await uses.get(digest))
    if (!(now() - last < USE_MS)) await uses.set(digest, String(now()))
  }

  /** Puts into the index what it has lost; gives how many. Rejects when the node fails. */
  async reindex(signal: AbortSignal): Promise<number> {
    const { index, shared } = this.#options
    let restored = 0
    for (const { digest, cid, size } of await this.list(signal)) {
      if ((await (shared ?? index).find(digest)) === cid) continue
      await index.put({ digest, cid, size, mediaType: MEDIA_TYPE })
      restored += 1
    }
    return restored
  }

  /** The index forgets it first, so that nobody is sent to what is about to go. Rejects when the node fails. */
  async remove({ digest, cid }: OwnPin, signal: AbortSignal): Promise<void> {
    await this.#options.index.drop(digest, cid)
    await this.#options.node.unpin(cid, signal)
    await this.#options.uses.set(digest, "")
  }

  /** Makes room when the node holds more than its budget, the longest unused first. Rejects when the node fails. */
  async enforce(signal: AbortSignal): Promise<void> {
    const { budgetBytes, log, metrics, node } = this.#options
    const { used } = await node.repoBytes(signal)
    metrics.ipfsRepoBytes.set(used)
    if (budgetBytes === 0 || used <= budgetBytes) return
    let excess = used - budgetBytes * TARGET
    let removed = 0
    for (const pin of await this.#oldestFirst(signal)) {
      if (excess <= 0) break
      await this.remove(pin, signal)
      excess -= pin.size
      removed += 1
    }
    await node.collect(signal)
    log.info("removed layers from the IPFS node to stay within its budget", { removed, budgetBytes })
  }

  async #oldestFirst(signal: AbortSignal): Promise<readonly OwnPin[]> {
    const pins = await this.list(signal)
    this.#options.metrics.ipfsPins.set(pins.length)
    const withUse = await Promise.all(
      pins.map(async (pin) => ({ pin, usedAt: Number(await this.#options.uses.get(pin.digest)) || 0 })),
    )
    return withUse.toSorted((one, other) => one.usedAt - other.usedAt).map(({ pin }) => pin)
  }
}
