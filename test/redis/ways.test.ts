import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { toSharing } from "../../src/config/sharing.ts"
import { parseCid } from "../../src/ipfs/cid.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { type Digest, parseDigest } from "../../src/oci/digest.ts"
import { SharedRedis } from "../../src/redis/redis.ts"
import { RedisCids } from "../../src/redis/redis-cids.ts"
import { RedisDocuments } from "../../src/redis/redis-documents.ts"
import { RedisLeases } from "../../src/redis/redis-leases.ts"
import { RedisTags } from "../../src/redis/redis-tags.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { createAuthority } from "../helpers/certificates.ts"
import { content } from "../helpers/images.ts"
import { eventually, needs } from "../helpers/programs.ts"
import {
  type RedisServer,
  type RedisTls,
  startRedis,
  startRedisCluster,
  startRedisSentinel,
} from "../helpers/redis-server.ts"

setDefaultTimeout(60_000)

type Section = NonNullable<Parameters<typeof toSharing>[1]["redis"]>

const lines: string[] = []
const log = createLogger({ format: "json", version: "", level: () => "debug", write: (line) => void lines.push(line) })
const opened: SharedRedis[] = []

/** As the process opens it, from the section of its configuration. */
async function open(section: Partial<Section>, { password = "", commandMs = 2000 } = {}): Promise<SharedRedis> {
  const config = toSharing("/", { redis: { enabled: true, ...section } } as Parameters<typeof toSharing>[1], {
    REDIS_PASSWORD: password,
  }).redis
  if (config === null) throw new Error("Redis is not enabled")
  const ca = config.tls?.ca == null ? null : await Bun.file(config.tls.ca).text()
  const settings = { ...config, tls: config.tls === null ? null : { ...config.tls, ca } }
  const policy = { ...PRODUCTION.redis, commandMs, connectMs: 2000 }
  const redis = await SharedRedis.open({ settings, policy, clock: systemClock, log, metrics: createMetrics() })
  opened.push(redis)
  return redis
}

const cid = parseCid("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
const noFacts = { get: async () => null, set: async () => {} }

/** Everything that nodes share, written by one and read by another. */
async function roundTrip(one: SharedRedis, other: SharedRedis, text: string): Promise<Digest> {
  if (cid === null) throw new Error("It is a CID")
  const { bytes, digest: name, mediaType, size } = content("text/plain", text)
  const digest = parseDigest(name)
  await new RedisCids(one).put({ digest, cid, size, mediaType })
  expect(await new RedisCids(other).find(digest)).toBe(cid)

  const now = () => 1000
  await new RedisDocuments({ redis: one, log, now }).put({ descriptor: { digest, size, mediaType }, bytes })
  expect(await new RedisDocuments({ redis: other, log, now }).get(digest)).toEqual(bytes)

  const tags = (redis: SharedRedis) => new RedisTags({ redis, own: noFacts, trust: "operator", now })
  await tags(one).set(`host/${text}:1`, `1000 ${digest} text/plain ${size}`)
  expect(await tags(other).get(`host/${text}:1`)).toBe(`1000 ${digest} text/plain ${size}`)

  const [mine, theirs] = [new RedisLeases(one), new RedisLeases(other)]
  expect([await mine.take(digest), await theirs.take(digest), await mine.take(digest)]).toEqual([
    "ours",
    "others",
    "ours",
  ])
  await mine.renew(digest)
  await theirs.release(digest)
  expect(await theirs.take(digest)).toBe("others")
  await mine.release(digest)
  expect(await theirs.take(digest)).toBe("ours")

  await new RedisCids(other).drop(digest, cid)
  expect(await new RedisCids(one).find(digest)).toBeNull()
  return digest
}

const required = needs("redis-server", "openssl")
describe.skipIf(required.isMissing)(`ways to Redis${required.note}`, () => {
  const servers: RedisServer[] = []
  let certificate: RedisTls
  beforeAll(async () => {
    const authority = await createAuthority()
    const { crt, key } = await authority.issue("redis")
    certificate = { cert: crt, key, ca: authority.path }
  })
  afterAll(async () => {
    for (const redis of opened) redis.close()
    for (const server of servers) await server.stop()
  })

  const started = (server: RedisServer): RedisServer => {
    servers.push(server)
    return server
  }

  test("a password, from REDIS_PASSWORD", async () => {
    const server = started(await startRedis(["--requirepass", "se:cret"], { login: ["-a", "se:cret"] }))
    const way = { singleHostAddr: server.addr }

    await roundTrip(await open(way, { password: "se:cret" }), await open(way, { password: "se:cret" }), "password")
  })

  test.each([
    ["wrong", "not it"],
    ["missing", ""],
  ])("with a %s password it is not used, and the log says why, not the password", async (_, password) => {
    const server = started(await startRedis(["--requirepass", "se:cret"], { login: ["-a", "se:cret"] }))
    lines.length = 0
    const redis = await open({ singleHostAddr: server.addr }, { password })

    expect(await redis.ask((client) => client.get("x"))).toBeNull()
    await eventually(async () => {
      await redis.ask((client) => client.get("x"))
      return lines.some((line) => /"level":"warning".*(?:NOAUTH|WRONGPASS|Authentication required)/.test(line))
        ? true
        : null
    })
    expect(lines.join("\n")).not.toContain("not it")
  })

  test("an ACL user who may only touch the keys of a prefix", async () => {
    const acl = ["facade", "on", ">se:cret", "~team:*", "+@all", "-@admin", "-@dangerous"]
    const server = started(await startRedis(["--user", ...acl]))
    const way = { singleHostAddr: server.addr, username: "facade", keyPrefix: "team:" }
    const login = { password: "se:cret" }

    const digest = await roundTrip(await open(way, login), await open(way, login), "acl")
    const keys = (await server.cli("KEYS", "*")).split("\n")
    expect(keys).toContain(`team:cnt.${digest}`)
    expect(keys.filter((key) => !key.startsWith("team:"))).toEqual([])

    const outside = await open({ ...way, keyPrefix: "others:" }, login)
    lines.length = 0
    expect(await outside.ask((client) => client.get("others:x"))).toBeNull()
    expect(lines.join("\n")).toContain("NOPERM")
    expect(lines.join("\n")).not.toContain("se:cret")
  })

  test("TLS, with a CA of one's own, by address and by name", async () => {
    const server = started(await startRedis([], { tls: certificate }))
    const way = { singleHostAddr: server.addr, useTLS: true, ca: certificate.ca }

    const byName = await open({ ...way, singleHostAddr: `localhost:${server.port}` })
    await roundTrip(await open(way), byName, "tls")
    await roundTrip(await open({ ...way, ca: "", insecureSkipVerify: true }), byName, "insecure")
  })

  test("TLS: a certificate that nobody vouches for is refused, and plain text to a TLS port gets nowhere", async () => {
    const server = started(await startRedis([], { tls: certificate }))

    for (const way of [{ useTLS: true }, { useTLS: false }]) {
      const redis = await open({ singleHostAddr: server.addr, ...way })
      expect(await redis.ask((client) => client.set("x", "y"))).toBeNull()
    }
    expect(await server.cli("GET", "x")).toBe("")
  })

  test("Redis Cluster: keys are spread over several servers", async () => {
    const cluster = (await startRedisCluster()).map(started)
    const way = { cluster: { addrs: cluster.map(({ addr }) => addr) } }
    const [one, other] = [await open(way), await open(way)]

    for (const text of ["a", "b", "c", "d", "e", "f"]) await roundTrip(one, other, text)
    const sizes = await Promise.all(cluster.map(({ cli }) => cli("DBSIZE")))
    expect(sizes.filter((size) => size === "0")).toEqual([])
  })

  test("Redis Cluster that hangs: each question is given up in time, then none is asked", async () => {
    const cluster = (await startRedisCluster()).map(started)
    const redis = await open({ cluster: { addrs: cluster.map(({ addr }) => addr) } }, { commandMs: 200 })
    await eventually(async () => ((await redis.ask((client) => client.set("x", "y"))) === "OK" ? true : null))
    for (const { freeze } of cluster) freeze()

    const startedAt = performance.now()
    for (let count = 0; count < 10; count += 1) expect(await redis.ask((client) => client.get("x"))).toBeNull()
    expect(performance.now() - startedAt).toBeLessThan(1500)
    for (const { thaw } of cluster) thaw()
  })

  test("Sentinel: the master is found through it, and its successor after its death", async () => {
    const { master, replica, sentinel } = await startRedisSentinel("shared")
    for (const server of [master, replica, sentinel]) started(server)
    const way = { sentinel: { master: "shared", addrs: [sentinel.addr] } }
    const [one, other] = [await open(way), await open(way)]
    await roundTrip(one, other, "sentinel")

    await master.stop()
    await eventually(async () => ((await one.ask((client) => client.set("after", "1"))) === "OK" ? true : null), 30_000)
    await eventually(async () => ((await other.ask((client) => client.get("after"))) === "1" ? true : null), 30_000)
    expect(await replica.cli("GET", "after")).toBe("1")
  })

  test("Sentinel: a password is for the servers, and a Sentinel without one does not mind", async () => {
    const login = ["-a", "se:cret"]
    const args = ["--requirepass", "se:cret", "--masterauth", "se:cret"]
    const group = await startRedisSentinel("shared", { args, login, password: "se:cret" })
    for (const server of Object.values(group)) started(server)
    const way = { sentinel: { master: "shared", addrs: [group.sentinel.addr] } }

    await roundTrip(await open(way, { password: "se:cret" }), await open(way, { password: "se:cret" }), "secret")
  })

  test("Sentinel with TLS: nothing is sent in plain text", async () => {
    const args = ["--tls-replication", "yes", "--tls-ca-cert-file", certificate.ca]
    const group = await startRedisSentinel("shared", { args, tls: certificate })
    for (const server of Object.values(group)) started(server)
    const way = { sentinel: { master: "shared", addrs: [group.sentinel.addr] }, useTLS: true, ca: certificate.ca }

    await roundTrip(await open(way), await open(way), "tls sentinel")
  })
})
