import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { IpfsCluster } from "../../src/ipfs/cluster.ts"
import { KnownCids } from "../../src/ipfs/known-cids.ts"
import { Kubo } from "../../src/ipfs/kubo.ts"
import { KuboControl } from "../../src/ipfs/kubo-control.ts"
import { formatPinName } from "../../src/ipfs/pin-name.ts"
import { Pins } from "../../src/ipfs/pins.ts"
import { Replicas } from "../../src/ipfs/replicas.ts"
import { Breaker } from "../../src/lib/breaker.ts"
import { systemClock } from "../../src/lib/clock.ts"
import type { KeyValue } from "../../src/lib/key-value.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { type ClusterServer, startClusterServer } from "../helpers/cluster-server.ts"
import { testEgress } from "../helpers/egress.ts"
import { sha256 } from "../helpers/images.ts"
import { type KuboServer, startKuboServer } from "../helpers/kubo-server.ts"
import { never } from "../helpers/layers.ts"
import { silentLogger } from "../helpers/silent-logger.ts"

const DAY_MS = 86_400_000
const PREFIX = "rf/test/"
const bytes = new TextEncoder().encode("a layer")
const digest = parseDigest(sha256(bytes))

function memory(): KeyValue {
  const values = new Map<string, string>()
  return { get: async (key) => values.get(key) ?? null, set: async (key, value) => void values.set(key, value) }
}

describe("replicas in a cluster", () => {
  let kubo: KuboServer
  let cluster: ClusterServer
  let now: number
  beforeEach(() => {
    kubo = startKuboServer()
    cluster = startClusterServer()
    now = Date.UTC(2026, 0, 1)
    kubo.pins.set(kubo.put(bytes), formatPinName(PREFIX, { digest, size: bytes.byteLength }))
  })
  afterEach(() => {
    kubo.stop()
    cluster.stop()
  })

  function open(expireInMs: number): Pins {
    const egress = testEgress()
    const common = { pinPrefix: PREFIX, log: silentLogger, metrics: createMetrics(), now: () => now }
    const api = new URL(kubo.url)
    const options = { url: cluster.url, replicationMin: 2, replicationMax: 3, expireInMs, egress }
    const replicas = new Replicas({
      ...common,
      cluster: new IpfsCluster(options),
      expireInMs,
      askMs: 5000,
      asked: memory(),
      breaker: new Breaker({ ...PRODUCTION.ipfs.breaker, clock: systemClock, onChange: () => {} }),
    })
    const node = new Kubo({ api, gateway: api, egress, uploads: egress, control: new KuboControl(api) })
    const index = new KnownCids(memory(), null)
    return new Pins({ ...common, node, index, shared: null, replicas, budgetBytes: 0, uses: memory() })
  }

  test("that expire are renewed when a quarter of their time is over and the blob was used meanwhile", async () => {
    const pins = open(30 * DAY_MS)
    await pins.reconcile(never)
    expect(cluster.asked.map(({ query }) => query["expire-in"])).toEqual(["2592000s"])

    now += 7 * DAY_MS
    await pins.used(digest)
    await pins.reconcile(never)
    expect(cluster.asked).toHaveLength(1)

    now += DAY_MS
    await pins.reconcile(never)
    expect(cluster.asked.map(({ query }) => query["expire-in"])).toEqual(["2592000s", "2592000s"])

    now += 10 * DAY_MS
    await pins.reconcile(never)
    expect(cluster.asked).toHaveLength(2)
  })

  test("that never expire are asked for once", async () => {
    const pins = open(0)
    await pins.reconcile(never)
    now += 365 * DAY_MS
    await pins.used(digest)
    await pins.reconcile(never)

    expect(cluster.asked).toHaveLength(1)
    expect(cluster.asked[0]?.query["expire-in"]).toBeUndefined()
  })

  test("that the cluster did not take are asked for again", async () => {
    const pins = open(30 * DAY_MS)
    cluster.isRefusing = true
    await pins.reconcile(never)
    cluster.isRefusing = false
    await pins.reconcile(never)

    expect(cluster.asked.map(({ query }) => query["name"])).toEqual([`${PREFIX}${digest}/7`])
  })
})
