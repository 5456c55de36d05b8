import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { startFiles } from "../helpers/files.ts"
import { image, layer } from "../helpers/images.ts"
import { eventually, needs } from "../helpers/programs.ts"
import { type RedisServer, startRedis } from "../helpers/redis-server.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const required = needs("redis-server")
describe.skipIf(required.isMissing)(`files of images where layers are shared${required.note}`, () => {
  let redis: RedisServer
  let upstream: UpstreamServer

  beforeAll(async () => {
    redis = await startRedis()
    upstream = startUpstream()
  })
  afterAll(async () => {
    await redis?.stop()
    upstream?.stop()
  })

  test("a node that has read a layer gives its turn back", async () => {
    upstream.add("lab/app", "1", await image({ layers: [await layer({ "a.txt": "text" })] }))
    const server = await startFiles({
      mode: "binary",
      config: {
        registry: {
          port: 0,
          host: "127.0.0.1",
          store: "store",
          redis: { enabled: true, singleHostAddr: redis.addr },
          ipfs: { enabled: true, ipfsAddr: "/ip4/127.0.0.1/tcp/1" },
        },
      },
      blobserve: { repos: { [`${upstream.host}/lab/app`]: {} } },
    })

    expect(await server.text(`/${upstream.host}/lab/app:1/a.txt`)).toBe("text")
    const isOver = async () => (await redis.cli("INFO", "commandstats")).includes("cmdstat_eval")
    await eventually(async () => ((await isOver()) && (await redis.cli("KEYS", "*:l")) === "" ? true : null))
    await server.stop()
  })
})
