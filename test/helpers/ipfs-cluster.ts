import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { freePort } from "./free-port.ts"
import type { KuboNode } from "./kubo.ts"
import { eventually, findProgram, output } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface ClusterPeer {
  readonly id: string
  /** Of its REST API. */
  readonly url: string
  /** What it offers in place of the node's RPC API. */
  readonly proxy: string
  /** `{"cid", "name", "metadata", "expire_at", ..., "peer_map"}`; null: it does not know the CID. */
  pin(cid: string): Promise<Readonly<Record<string, unknown>> | null>
  /** What each peer says of it, by the peer's name. */
  statuses(cid: string): Promise<Readonly<Record<string, string>>>
  kill(): Promise<void>
  start(): Promise<void>
}

const PROGRAM = "ipfs-cluster-service"

/** A real IPFS Cluster with one peer for each node. */
export async function startIpfsCluster(nodes: readonly KuboNode[]): Promise<readonly ClusterPeer[]> {
  const secret = randomBytes(32).toString("hex")
  const peers: ClusterPeer[] = []
  const addresses: string[] = []
  for (const [index, node] of nodes.entries()) {
    const peer = await startPeer(`c${index}`, node, secret, addresses)
    peers.push(peer)
  }
  for (const { url } of peers) await knowsOf(url, nodes.length)
  return peers
}

/** A peer gives nothing to another whose free space and group it does not know. */
async function knowsOf(url: string, count: number): Promise<void> {
  await eventually(async () => {
    const known = await Promise.all(
      ["freespace", "tag:group"].map(async (name) => JSON.parse(await text(`${url}/monitor/metrics/${name}`))),
    )
    return known.every((metrics) => Array.isArray(metrics) && metrics.length === count) ? true : null
  }, 60_000)
}

const text = async (url: string): Promise<string> => await (await fetch(url)).text()

async function startPeer(
  name: string,
  node: KuboNode,
  secret: string,
  /** Of all peers that there have been; its own is added. */
  addresses: string[],
): Promise<ClusterPeer> {
  const [swarmPort, apiPort, proxyPort] = [freePort(), freePort(), freePort()]
  const nodeAddress = `/ip4/127.0.0.1/tcp/${new URL(node.api).port}`
  const env = {
    IPFS_CLUSTER_PATH: join(tempDir(), name),
    CLUSTER_PEERNAME: name,
    CLUSTER_SECRET: secret,
    CLUSTER_CRDT_TRUSTEDPEERS: "*",
    CLUSTER_MONITORPINGINTERVAL: "1s",
    CLUSTER_DISK_METRICTTL: "10s",
    CLUSTER_TAGS_METRICTTL: "10s",
    CLUSTER_LISTENMULTIADDRESS: `/ip4/127.0.0.1/tcp/${swarmPort}`,
    CLUSTER_RESTAPI_HTTPLISTENMULTIADDRESS: `/ip4/127.0.0.1/tcp/${apiPort}`,
    CLUSTER_IPFSPROXY_LISTENMULTIADDRESS: `/ip4/127.0.0.1/tcp/${proxyPort}`,
    CLUSTER_IPFSPROXY_NODEMULTIADDRESS: nodeAddress,
    CLUSTER_IPFSHTTP_NODEMULTIADDRESS: nodeAddress,
    CLUSTER_PINSVCAPI_HTTPLISTENMULTIADDRESS: `/ip4/127.0.0.1/tcp/${freePort()}`,
  }
  const program = findProgram(PROGRAM) ?? PROGRAM
  await output([program, "init", "--consensus", "crdt"], { env })
  const url = `http://127.0.0.1:${apiPort}`
  const others = () => addresses.filter((address) => !address.includes(`/tcp/${swarmPort}/`))
  const spawn = () =>
    Bun.spawn([program, "daemon", ...(others().length === 0 ? [] : ["--bootstrap", others().join(",")])], {
      env: { ...process.env, ...env },
      stdio: ["ignore", "ignore", "ignore"],
    })
  let child: ReturnType<typeof spawn> | null = null
  const start = async (): Promise<string> => {
    child = spawn()
    return await eventually(async () => String(JSON.parse(await text(`${url}/id`)).id), 60_000)
  }
  const id = await start()
  addresses.push(`/ip4/127.0.0.1/tcp/${swarmPort}/p2p/${id}`)
  const pin: ClusterPeer["pin"] = async (cid) => {
    const allocation = await fetch(`${url}/allocations/${cid}`)
    return allocation.status === 404 ? null : JSON.parse(await allocation.text())
  }
  return {
    id,
    url,
    proxy: `/ip4/127.0.0.1/tcp/${proxyPort}`,
    pin,
    statuses: async (cid) => {
      const { peer_map: map } = JSON.parse(await text(`${url}/pins/${cid}`))
      return Object.fromEntries(
        Object.values<{ peername: string; status: string }>(map).map(({ peername, status }) => [peername, status]),
      )
    },
    kill: async () => {
      child?.kill("SIGKILL")
      await child?.exited
    },
    start: async () => {
      await start()
      await knowsOf(url, 2)
    },
  }
}
