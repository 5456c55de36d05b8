import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { OCTET_STREAM } from "../oci/media-type.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Cid } from "./cid.ts"
import type { CidIndex } from "./cid-index.ts"
import type { IpfsNode } from "./node.ts"
import { parsePinName } from "./pin-name.ts"
import type { Replicas } from "./replicas.ts"

export interface PinsOptions {
  readonly node: IpfsNode
  readonly index: CidIndex
  /** What all nodes know, asked without what this one remembers; null where it is alone. */
  readonly shared: CidIndex | null
  /** Null: there is no cluster. */
  readonly replicas: Replicas | null
  readonly pinPrefix: string
  /** What the node may hold; 0 is no limit. */
  readonly budgetBytes: number
  /** Digest to the time of last use, in milliseconds since the epoch. */
  readonly uses: KeyValue
  readonly log: Logger
  readonly metrics: Metrics
  readonly now: () => number
}

export interface Reconciled {
  readonly restored: number
  readonly lost: number
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
/** No node has so many; a list without end would fill the memory. */
const MAX_PINS = 500_000

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
      if (parsed === null) continue
      if (own.length === MAX_PINS) throw new RangeError(`The IPFS node tells of more than ${MAX_PINS} pins`)
      own.push({ ...parsed, cid })
    }
    this.#options.metrics.ipfsPins.set(own.length)
    return own
  }

  /** Notes that a blob is wanted. Never rejects. */
  async used(digest: Digest): Promise<void> {
    const { now, uses } = this.#options
    const last = Number(await uses.get(digest))
    if (!(now() - last < USE_MS)) await uses.set(digest, String(now()))
  }

  /**
   * Puts into the index what it has lost, and takes out what the node has lost although it is pinned; gives how many of
   * each. Rejects when the node fails.
   */
  async reconcile(signal: AbortSignal): Promise<Reconciled> {
    const { index, node } = this.#options
    let [restored, lost] = [0, 0]
    for (const pin of await this.list(signal)) {
      signal.throwIfAborted()
      if (await node.has(pin.cid, signal)) {
        if (await this.#complete(pin, signal)) restored += 1
      } else {
        await index.drop(pin.digest, pin.cid)
        lost += 1
      }
    }
    return { restored, lost }
  }

  /** Puts it into the index, and asks for replicas, where either is missing. True: the index had lost it. */
  async #complete(pin: OwnPin, signal: AbortSignal): Promise<boolean> {
    const { index, node, replicas, shared } = this.#options
    const { digest, cid, size } = pin
    const isDue = (await replicas?.isDue(digest, await this.#usedAt(digest))) === true
    const isIndexed = (await (shared ?? index).find(digest)) === cid
    if (isIndexed && !isDue) return false
    if (!(await node.isPinned(cid, signal))) return false // somebody has removed it since the list was made
    if (isDue) await replicas?.want(descriptorOf(pin), cid)
    if (!isIndexed) await index.put({ digest, cid, size, mediaType: OCTET_STREAM })
    return !isIndexed
  }

  /**
   * Content stays until garbage is collected. What is still pinned would be put back into the index, and a cluster pins
   * again what it was not told of. Rejects when the node fails.
   */
  async remove(pin: OwnPin, signal: AbortSignal): Promise<void> {
    const { index, node, replicas, uses } = this.#options
    await node.unpin(pin.cid, signal)
    await index.drop(pin.digest, pin.cid)
    await replicas?.release(pin.digest, pin.cid)
    await uses.set(pin.digest, "")
  }

  /** Makes room when the node holds more than its budget, the longest unused first. Rejects when the node fails. */
  async enforce(signal: AbortSignal): Promise<void> {
    const { budgetBytes, log, node } = this.#options
    if (budgetBytes === 0 || (await this.#measure(signal)) <= budgetBytes) return
    await node.collect(signal) // what nobody has pinned goes before what somebody has
    let excess = (await this.#measure(signal)) - budgetBytes
    if (excess <= 0) return
    excess += budgetBytes * (1 - TARGET)
    let removed = 0
    for (const pin of await this.#oldestFirst(signal)) {
      if (excess <= 0) break
      await this.remove(pin, signal)
      excess -= pin.size
      removed += 1
    }
    if (removed === 0) return
    await node.collect(signal)
    await this.#measure(signal)
    log.info("removed layers from the IPFS node to stay within its budget", { removed, budgetBytes })
  }

  async #measure(signal: AbortSignal): Promise<number> {
    const { metrics, node } = this.#options
    const { used } = await node.repoBytes(signal)
    metrics.ipfsRepoBytes.set(used)
    return used
  }

  async #oldestFirst(signal: AbortSignal): Promise<readonly OwnPin[]> {
    const pins = await this.list(signal)
    const withUse = await Promise.all(pins.map(async (pin) => ({ pin, usedAt: await this.#usedAt(pin.digest) })))
    return withUse.toSorted((one, other) => one.usedAt - other.usedAt).map(({ pin }) => pin)
  }

  /** 0: never, as far as is known. */
  async #usedAt(digest: Digest): Promise<number> {
    return Number(await this.#options.uses.get(digest)) || 0
  }
}

const descriptorOf = ({ digest, size }: OwnPin): Descriptor => ({ digest, size, mediaType: OCTET_STREAM })
