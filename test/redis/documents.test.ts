import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { systemClock } from "../../src/lib/clock.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { SharedRedis } from "../../src/redis/redis.ts"
import { RedisDocuments } from "../../src/redis/redis-documents.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { content, sha256 } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { type RedisServer, startRedis } from "../helpers/redis-server.ts"
import { settingsFor } from "../helpers/redis-settings.ts"

const required = needs("redis-server")
describe.skipIf(required.isMissing)(`documents in Redis${required.note}`, () => {
  let server: RedisServer
  let redis: SharedRedis
  let documents: RedisDocuments
  const lines: string[] = []
  const log = createLogger({
    format: "json",
    version: "",
    level: () => "debug",
    write: (line) => void lines.push(line),
  })
  const digest = parseDigest(sha256("hello world"))

  beforeAll(async () => {
    server = await startRedis()
    redis = await SharedRedis.open({
      settings: settingsFor(server.port),
      policy: { ...PRODUCTION.redis, commandMs: 5000 },
      clock: systemClock,
      log,
      metrics: createMetrics(),
    })
    documents = new RedisDocuments({ redis, log, now: () => 1000 })
  })
  afterAll(async () => {
    redis?.close()
    await server?.stop()
  })

  test("A-9: what Redis does not know is not found", async () => {
    expect(await documents.info(parseDigest(sha256("nothing")))).toBeNull()
  })

  test("A-10: what cannot be decoded is neither unknown nor known", async () => {
    const broken = parseDigest(sha256("broken"))
    await server.cli("MSET", `nfo.${broken}`, "{no json", `cnt.${broken}`, "broken")

    await expect(documents.info(broken)).rejects.toThrow(`Cannot decode what Redis holds about ${broken}`)
    expect(await documents.get(broken)).toBeNull()
    expect(lines.join("\n")).toContain("Redis holds a document that is not understood")
  })

  test("A-11: all that the original has noted is read", async () => {
    const noted = parseDigest(sha256("noted"))
    const text = '{"Digest":"digest","Size":1234,"CreatedAt":7899,"UpdatedAt":9999,"Labels":{"foo":"bar"}}'
    await server.cli("SET", `nfo.${noted}`, text)

    expect(await documents.info(noted)).toEqual({
      digest: "digest",
      size: 1234,
      createdAt: 7899,
      updatedAt: 9999,
      labels: { foo: "bar" },
    })
  })

  test("A-12: a document is written as the original does, once", async () => {
    const { mediaType, bytes } = content("text/plain", "hello world")
    await documents.put({ descriptor: { digest, size: 11, mediaType }, bytes })

    const info = `{"Digest":"${digest}","Size":11,"CreatedAt":1,"UpdatedAt":1,"Labels":{"Content-Type":"text/plain"}}`
    expect(await server.cli("GET", `nfo.${digest}`)).toBe(info)
    expect(await server.cli("GET", `cnt.${digest}`)).toBe("hello world")
    expect(Number(await server.cli("TTL", `nfo.${digest}`))).toBeGreaterThan(86_400)
    expect(new TextDecoder().decode((await documents.get(digest)) ?? new Uint8Array())).toBe("hello world")

    await server.cli("SET", `nfo.${digest}`, "kept")
    await documents.put({ descriptor: { digest, size: 11, mediaType }, bytes })
    expect(await server.cli("GET", `nfo.${digest}`)).toBe("kept")
  })

  test("content that is not what its key says is no answer", async () => {
    const index = parseDigest(sha256("an index"))
    await server.cli("MSET", `nfo.${index}`, `{"Digest":"${digest}","Size":11}`, `cnt.${index}`, "hello world")

    expect(await documents.get(index)).toBeNull()
  })
})
