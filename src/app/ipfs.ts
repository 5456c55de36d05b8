import type { BlobSource } from "../blob/blob.ts"
import type { EndedTransfer } from "../blob/downloads.ts"
import type { IpfsConfig } from "../config/sharing.ts"
import type { CidIndex } from "../ipfs/cid-index.ts"
import { IpfsCluster } from "../ipfs/cluster.ts"
import { IpfsSource } from "../ipfs/ipfs-source.ts"
import { KnownCids } from "../ipfs/known-cids.ts"
import type { Kubo } from "../ipfs/kubo.ts"
import { Pins } from "../ipfs/pins.ts"
import { Publisher } from "../ipfs/publisher.ts"
import { Replicas } from "../ipfs/replicas.ts"
import { Turns } from "../ipfs/turns.ts"
import { PROFILES } from "../ipfs/unixfs.ts"
import type { DiskStore } from "../store/disk.ts"
import { ipfsBreakers, openNode } from "./ipfs-node.ts"
import type { RedisParts } from "./redis.ts"
import type { Tools } from "./tools.ts"

/** Everything about one IPFS node. */
export interface IpfsParts {
  readonly caches: readonly BlobSource[]
  readonly pins: Pins
  readonly node: Kubo
  readonly cluster: IpfsCluster | null
  readonly publisher: Publisher
  readonly index: CidIndex
  ended(transfer: EndedTransfer): void
  /** Keeps the index complete and the node within its budget until it is closed. Never rejects. */
  maintain(): Promise<void>
  close(): void
}

interface Beside {
  readonly store: DiskStore
  readonly redis: RedisParts | null
}

/** What other nodes can make as well is not shared. */
const FETCHED: ReadonlySet<string> = new Set(["upstream", "image", "content"])
/** Names of pins begin with it. */
const PIN_PREFIX = "rf/default/"

export function buildIpfs(config: IpfsConfig, { store, redis }: Beside, tools: Tools): IpfsParts {
  const { log, metrics, tuning } = tools
  const { clock } = tuning
  const { egress, node } = openNode(config, tools)
  const profile = PROFILES[config.profile]
  if (profile === undefined) throw new Error(`Cannot add to IPFS: there is no profile ${config.profile}`)
  const shared = redis?.cids ?? null
  const index = new KnownCids(store.facts("cid"), shared)
  const breakers = ipfsBreakers(tools)
  const common = { node, index, profile, breakers, pinPrefix: PIN_PREFIX, clock, log, metrics, now: Date.now }
  const source = new IpfsSource({ ...common, policy: tuning.ipfs.source })
  const turns = redis === null ? null : new Turns({ leases: redis.leases, policy: tuning.ipfs.turns, clock, metrics })
  const cluster = config.cluster === null ? null : new IpfsCluster({ ...config.cluster, egress })
  const replicas =
    config.cluster === null || cluster === null
      ? null
      : new Replicas({
          ...common,
          cluster,
          expireInMs: config.cluster.expireInMs,
          askMs: tuning.ipfs.publish.askMs,
          asked: store.facts("replica"),
          breaker: breakers.cluster,
        })
  const { budgetBytes } = config
  const pins = new Pins({ ...common, shared, replicas, budgetBytes, uses: store.facts("pin") })
  const publisher = new Publisher({
    ...common,
    breaker: breakers.add,
    allowPublicSwarm: config.allowPublicSwarm,
    policy: tuning.ipfs.publish,
    random: tuning.random,
    published: async ({ descriptor }, cid) => {
      await pins.used(descriptor.digest)
      await replicas?.want(descriptor, cid)
    },
    settled: (digest) => turns?.over(digest),
  })
  const ended = ({ descriptor, file, sources }: EndedTransfer) => {
    if (sources.some(({ name }) => name === "ipfs")) void pins.used(descriptor.digest)
    const isNew = file !== null && sources.some(({ name }) => FETCHED.has(name))
    if (isNew) publisher.offer(file)
    else turns?.over(descriptor.digest)
  }
  const background = new AbortController()
  const close = () => {
    background.abort()
    publisher.close()
    turns?.close()
  }
  const maintain = async () => await keepHouse(pins, tools, background.signal)
  const caches = [turns === null ? source : turns.before(source)]
  return { caches, pins, node, cluster, index, publisher, ended, maintain, close }
}

/** Puts back what the index has lost, and keeps the node within its budget, now and then. */
async function keepHouse(pins: Pins, { log, tuning }: Tools, signal: AbortSignal): Promise<void> {
  const { clock, ipfs } = tuning
  let waitMs = ipfs.firstHousekeepingMs
  while (!signal.aborted) {
    await clock.sleep(waitMs, signal).catch(() => {})
    waitMs = ipfs.housekeepingRetryMs
    try {
      signal.throwIfAborted()
      const round = AbortSignal.any([signal, AbortSignal.timeout(ipfs.housekeepingLimitMs)])
      await pins.enforce(round)
      const { lost, restored } = await pins.reconcile(round)
      waitMs = ipfs.housekeepingMs
      if (restored > 0) log.info("put layers of the IPFS node back into the index", { restored })
      if (lost > 0) log.warn("the IPFS node has lost content that is pinned, it is no longer shared", { lost })
    } catch (error) {
      log.debug("cannot look after the IPFS node", { error })
    }
  }
}
