import type { IpfsConfig } from "../config/sharing.ts"
import { Dialer } from "../egress/dialer.ts"
import type { Egress } from "../egress/egress.ts"
import { fetchEgress } from "../egress/fetch-egress.ts"
import { Guard } from "../egress/guard.ts"
import { probeTcp } from "../egress/tcp-probe.ts"
import { Kubo } from "../ipfs/kubo.ts"
import { KuboControl } from "../ipfs/kubo-control.ts"
import { Breaker } from "../lib/breaker.ts"
import type { Tools } from "./tools.ts"

const DAY_MS = 86_400_000

/** The IPFS node, and the way to it and to its cluster. */
export function openNode(config: IpfsConfig, tools: Tools): { readonly node: Kubo; readonly egress: Egress } {
  const { api } = config
  const gateway = byAddress(config.gateway ?? gatewayBeside(api))
  const both = ways(tools)
  return { node: new Kubo({ api, gateway, ...both, control: new KuboControl(api) }), egress: both.egress }
}

/** Kubo's own default. */
function gatewayBeside(api: URL): URL {
  const gateway = new URL(api)
  gateway.port = "8080"
  return gateway
}

/** A gateway that is called by this name sends everybody on to a subdomain of it. */
function byAddress(gateway: URL): URL {
  const url = new URL(gateway)
  if (url.hostname === "localhost") url.hostname = "127.0.0.1"
  return url
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
    // It answers while it takes everything in, and ends when that is kept; how long that may take depends on the size, and is the publisher's to say
    uploads: fetchEgress({ ...common, firstByteMs: DAY_MS, progressMs: DAY_MS, trickleBytes: 0 }),
  }
}

export type Trouble = "probe" | "local" | "swarm" | "add" | "cluster"

const MESSAGES: Readonly<Record<Trouble, string>> = {
  probe: "the IPFS node does not answer, it is left alone for a while; blobs come from elsewhere",
  local: "the IPFS node does not give what it has, it is not read for a while; blobs come from elsewhere",
  swarm: "the IPFS node cannot get what others have, they are not read for a while; blobs come from elsewhere",
  add: "the IPFS node takes nothing, blobs are not shared for a while",
  cluster: "the IPFS Cluster does not answer, it is left alone for a while; blobs have no replicas meanwhile",
}

/** Each kind of trouble is left alone by itself; the metric tells whether there is any. */
export function ipfsBreakers({ log, metrics, tuning }: Tools): Readonly<Record<Trouble, Breaker>> {
  const open = new Set<Trouble>()
  const measure = () => {
    const { size } = open
    const ofCluster = open.has("cluster") ? 1 : 0
    metrics.breakerOpen.set({ dependency: "cluster" }, ofCluster)
    metrics.breakerOpen.set({ dependency: "ipfs" }, size > ofCluster ? 1 : 0)
  }
  const told = (trouble: Trouble) => (error: unknown) => {
    if (error === null) {
      open.delete(trouble)
      log.info("the IPFS node or its cluster answers again", { trouble })
    } else {
      open.add(trouble)
      log.warn(MESSAGES[trouble], { error })
    }
    measure()
  }
  measure()
  const breaker = (trouble: Trouble) =>
    new Breaker({ ...tuning.ipfs.breaker, clock: tuning.clock, onChange: told(trouble) })
  return {
    probe: breaker("probe"),
    local: breaker("local"),
    swarm: breaker("swarm"),
    add: breaker("add"),
    cluster: breaker("cluster"),
  }
}
