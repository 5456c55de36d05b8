import type { BlobSource } from "../blob/blob.ts"
import type { EndedTransfer } from "../blob/downloads.ts"
import type { IpfsConfig } from "../config/sharing.ts"
import { Dialer } from "../egress/dialer.ts"
import type { Egress } from "../egress/egress.ts"
import { fetchEgress } from "../egress/fetch-egress.ts"
import { Guard } from "../egress/guard.ts"
import { probeTcp } from "../egress/tcp-probe.ts"
import type { CidIndex } from "../ipfs/cid-index.ts"
import { IpfsCluster } from "../ipfs/cluster.ts"
import { IpfsSource } from "../ipfs/ipfs-source.ts"
import { KnownCids } from "../ipfs/known-cids.ts"
import { Kubo } from "../ipfs/kubo.ts"
import { KuboControl } from "../ipfs/kubo-control.ts"
import { parseApiAddress } from "../ipfs/multiaddr.ts"
import { formatPinName } from "../ipfs/pin-name.ts"
import { Pins } from "../ipfs/pins.ts"
import { Publisher } from "../ipfs/publisher.ts"
import { Turns } from "../ipfs/turns.ts"
import { PROFILES } from "../ipfs/unixfs.ts"
import { Breaker } from "../lib/breaker.ts"
import type { DiskStore } from "../store/disk.ts"
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

const DAY_MS = 86_400_000
/** What other nodes can make as well is not shared. */
const FETCHED: ReadonlySet<string> = new Set(["upstream", "image", "content"])
/** Names of pins begin with it. */
const PIN_PREFIX = "rf/default/"

export function buildIpfs(config: IpfsConfig, { store, redis }: Beside, tools: Tools): IpfsParts {
  const { log, metrics, tuning } = tools
  const { clock } = tuning
  const node = openNode(config, tools)
  const profile = PROFILES[config.profile]
  if (profile === undefined) throw new Error(`Cannot add to IPFS: there is no profile ${config.profile}`)
  const index = new KnownCids(store.facts("cid"), redis?.cids ?? null)
  const breaker = new Breaker({ ...tuning.ipfs.breaker, clock, onChange: told("ipfs", tools) })
  const common = { node, index, profile, breaker, pinPrefix: PIN_PREFIX, clock, log, metrics }
  const source = new IpfsSource({ ...common, policy: tuning.ipfs.source })
  const turns = redis === null ? null : new Turns({ leases: redis.leases, policy: tuning.ipfs.turns, clock, metrics })
  const { budgetBytes } = config
  const shared = redis?.cids ?? null
  const pins = new Pins({ ...common, shared, budgetBytes, uses: store.facts("pin"), now: Date.now })
  const cluster = config.cluster === null ? null : new IpfsCluster({ ...config.cluster, egress: ways(tools).egress })
  const publisher = new Publisher({
    ...common,
    allowPublicSwarm: config.allowPublicSwarm,
    policy: tuning.ipfs.publish,
    published: async ({ descriptor }, cid) => {
      await pins.used(descriptor.digest)
      const name = formatPinName(PIN_PREFIX, descriptor)
      await cluster?.pin(cid, name, descriptor, AbortSignal.timeout(tuning.ipfs.publish.askMs))
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

function openNode(config: IpfsConfig, tools: Tools): Kubo {
  const api = parseApiAddress(config.api)
  const gateway = config.gateway ?? gatewayBeside(api)
  return new Kubo({ api, gateway, ...ways(tools), control: new KuboControl(api) })
}

/** Kubo's own default. */
function gatewayBeside(api: URL): URL {
  const gateway = new URL(api)
  gateway.port = "8080"
  return gateway
}

/** An operator has named the node, so nothing about its address is forbidden; it is near, so nobody waits for it long. */
function ways({ tuning }: Tools): { readonly egress: Egress; readonly uploads: Egress } {
  const { clock, egress, ipfs, lookup, proxies } = tuning
  const dialer = new Dialer({ clock, connectMs: ipfs.egress.connectMs, lookup, probe: probeTcp })
  const guard = new Guard({ dialer, isNamed: () => true })
  const hostSettings = async () => ({ insecureSkipVerify: false, ca: null })
  const common = { ...egress, ...ipfs.egress, clock, dialer, guard, proxies, hostSettings }
  return {
    egress: fetchEgress(common),
    // It answers when it has everything; how long that may take depends on the size, and is the publisher's to say
    uploads: fetchEgress({ ...common, firstByteMs: DAY_MS }),
  }
}

const told =
  (dependency: "ipfs", { log, metrics }: Tools) =>
  (isOpen: boolean) => {
    metrics.breakerOpen.set({ dependency }, isOpen ? 1 : 0)
    if (isOpen) log.warn("the IPFS node does not answer, it is left alone for a while; blobs come from elsewhere")
    else log.info("the IPFS node answers again")
  }

/** Puts back what the index has lost, and keeps the node within its budget, now and then. */
async function keepHouse(pins: Pins, { log, tuning }: Tools, signal: AbortSignal): Promise<void> {
  const { clock, ipfs } = tuning
  let waitMs = ipfs.firstHousekeepingMs
  while (!signal.aborted) {
    await clock.sleep(waitMs, signal).catch(() => {})
    waitMs = ipfs.housekeepingMs
    try {
      signal.throwIfAborted()
      const round = AbortSignal.any([signal, AbortSignal.timeout(ipfs.housekeepingLimitMs)])
      await pins.enforce(round)
      const restored = await pins.reindex(round)
      if (restored > 0) log.info("put layers of the IPFS node back into the index", { restored })
    } catch (error) {
      log.debug("cannot look after the IPFS node", { error })
    }
  }
}
