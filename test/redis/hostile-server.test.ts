import { afterAll, describe, expect, test } from "bun:test"
import { systemClock } from "../../src/lib/clock.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { SharedRedis } from "../../src/redis/redis.ts"
import { RedisCids } from "../../src/redis/redis-cids.ts"
import { RedisDocuments } from "../../src/redis/redis-documents.ts"
import { RedisLeases } from "../../src/redis/redis-leases.ts"
import { RedisTags } from "../../src/redis/redis-tags.ts"
import { createLogger, type Logger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { sha256 } from "../helpers/images.ts"
import { settingsFor } from "../helpers/redis-settings.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { until } from "../helpers/until.ts"

const MIB = 1024 * 1024
const closing: (() => void)[] = []
afterAll(() => {
  for (const close of closing) close()
})

interface Peer {
  write(bytes: string | Uint8Array): number
  end(): void
}

/** Asks a server that does this. */
async function ask(socket: Bun.SocketHandler<undefined>, log: Logger = silentLogger): Promise<SharedRedis> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket })
  const redis = await SharedRedis.open({
    settings: settingsFor(server.port),
    policy: PRODUCTION.redis,
    clock: systemClock,
    log,
    metrics: createMetrics(),
  })
  closing.push(() => {
    redis.close()
    server.stop(true)
  })
  return redis
}

const digest = parseDigest(sha256("anything"))

/** How long it takes until everything that a node asks of Redis for a cold image has come to nothing. */
async function askEverything(redis: SharedRedis): Promise<number> {
  const now = () => 1000
  const startedAt = performance.now()
  const bytes = new TextEncoder().encode("anything")
  const documents = new RedisDocuments({ redis, log: silentLogger, now })
  const tags = new RedisTags({ redis, own: { get: async () => null, set: async () => {} }, trust: "operator", now })
  for (let round = 0; round < 3; round += 1) {
    expect(await documents.get(digest)).toBeNull()
    await documents.put({ descriptor: { digest, size: bytes.byteLength, mediaType: "text/plain" }, bytes })
    expect(await new RedisCids(redis).find(digest)).toBeNull()
    await tags.get("host/name:1")
    await tags.set("host/name:1", `1000 ${digest} text/plain 8`)
    expect(await new RedisLeases(redis).take(digest)).not.toBe("others")
    await new RedisLeases(redis).release(digest)
  }
  return performance.now() - startedAt
}

const deep = "*1\r\n".repeat(200_000)

describe.each([
  ["from the first word", false],
  ["after it has greeted as one", true],
])("a server that is no Redis %s", (_, isPolite) => {
  test.each<[what: string, answer: (peer: Peer, asked: string) => void]>([
    ["says nothing", () => {}],
    ["hangs up", (peer) => peer.end()],
    ["speaks HTTP", (peer) => void peer.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")],
    ["sends noise", (peer) => void peer.write(crypto.getRandomValues(new Uint8Array(60_000)))],
    ["sends numbers for texts", (peer) => void peer.write(":5\r\n".repeat(10))],
    ["sends lists for texts", (peer) => void peer.write("*2\r\n$1\r\na\r\n*1\r\n:1\r\n".repeat(10))],
    ["sends more answers than it was asked for", (peer) => void peer.write("$4\r\nevil\r\n".repeat(1000))],
    ["sends lists in lists without end", (peer) => void peer.write(deep)],
    ["announces a list of two thousand million", (peer) => void peer.write("*2147483647\r\n")],
    ["announces a text of negative length", (peer) => void peer.write("$-7\r\n")],
    ["sends refusals", (peer) => void peer.write("-ERR go away\r\n".repeat(10))],
    ["sends endless refusals", (peer) => void peer.write(`-ERR ${"x".repeat(MIB)}`)],
  ])("that %s costs a little time, once", async (_, answer) => {
    const greeted = {
      data: (peer: Peer, bytes: Buffer) => {
        const asked = bytes.toString()
        if (isPolite && isGreeting(asked)) greet(peer, asked)
        else answer(peer, asked)
      },
    }
    expect(await askEverything(await ask(greeted))).toBeLessThan(2000)
  })

  test("that sends a text without end is cut off before it fills the memory", async () => {
    let [sent, cuts] = [0, 0]
    const redis = await ask({
      data: (socket, bytes) => {
        const asked = bytes.toString()
        if (isGreeting(asked)) return greet(socket, asked)
        socket.write("$536870912\r\n")
        sent += flood(socket)
      },
      drain: (socket) => {
        sent += flood(socket)
      },
      close: () => {
        cuts += 1
      },
    })

    await until(async () => {
      await redis.ask((client) => client.get("x"))
      return cuts > 0
    })
    expect(sent).toBeLessThan(128 * MIB)
  })

  test("that refuses with ever new words is told of a few times, not each time", async () => {
    const lines: string[] = []
    let count = 0
    const letters = () => {
      count += 1
      return `A${count}`.replace(/\d/g, (digit) => "ABCDEFGHIJ"[Number(digit)] ?? "")
    }
    const redis = await ask(
      {
        data: (peer, bytes) => {
          const asked = bytes.toString()
          if (isGreeting(asked)) greet(peer, asked)
          else for (const _ of asked.match(/\bget\b/g) ?? []) peer.write(`-${letters()} go away\r\n`)
        },
      },
      createLogger({ format: "json", version: "", level: () => "info", write: (line) => void lines.push(line) }),
    )

    for (let asked = 0; asked < 50; asked += 1) expect(await redis.ask((client) => client.get("x"))).toBeNull()
    expect(count).toBe(50)
    expect(lines.filter((line) => line.includes("Redis refuses commands"))).toHaveLength(1)
  })
})

const isGreeting = (asked: string): boolean => /hello|client/i.test(asked)

/** As a Redis does. */
function greet(peer: Peer, asked: string): void {
  if (/hello/i.test(asked)) peer.write("%1\r\n$5\r\nproto\r\n:3\r\n")
  peer.write("+OK\r\n".repeat(asked.match(/setinfo/gi)?.length ?? 0))
}

const PIECE = new Uint8Array(4 * MIB).fill(120)

function flood(peer: Peer): number {
  let sent = 0
  for (;;) {
    const written = peer.write(PIECE)
    sent += Math.max(written, 0)
    if (written < PIECE.byteLength) return sent
  }
}
