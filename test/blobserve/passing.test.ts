import { describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { PRODUCTION } from "../../src/tuning.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image } from "../helpers/images.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { rawLayer } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const MIB = 1024 * 1024
/** Those who may read such layers at the same time. */
const PLACES = 4

const FILES = {
  small: randomBytes(10),
  medium: randomBytes(200_000),
  large: randomBytes(3 * MIB),
  largest: randomBytes(9 * MIB),
} as const
type Name = keyof typeof FILES
const LAYER = rawLayer([
  { name: "filler", content: randomBytes(4 * MIB) },
  ...Object.entries(FILES).map(([name, content]) => ({ name, content })),
])

const servers = stoppedAfterEach()

interface Lab {
  readonly server: FileServer
  readonly upstream: UpstreamServer
  at(name: string): string
  /** How often the layer was asked for. */
  fetched(): number
}

/** A server that knows what is in the layer, and has no room for it. */
async function start(timeout = "20s", lingerMs = 50): Promise<Lab> {
  const upstream = startUpstream()
  upstream.add("lab/app", "1", await image({ layers: [LAYER] }))
  const { downloads, files } = PRODUCTION
  const server = await startFiles({
    tuning: { downloads: { ...downloads, lingerMs: 50 }, files: { ...files, lingerMs } },
    blobserve: {
      repos: { [`${upstream.host}/lab/app`]: { layers: "all" } },
      blobSpace: { location: "space", maxSizeBytes: MIB },
      timeout,
    },
  })
  servers.push(upstream, server)
  const at = (name: string) => `/${upstream.host}/lab/app:1/${name}`
  await until(async () => (await server.get(at("none"))).status === 404)
  const fetched = () =>
    upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(LAYER.digest)).length
  return { upstream, server, at, fetched }
}

interface Holding {
  /** Transfers of the layer that stand still. */
  readonly running: () => number
  letGo(): void
}

/** From now on the layer comes to its middle, and no further. */
function hold({ upstream }: Lab): Holding {
  const running = new Set<Request>()
  const gate = Promise.withResolvers<void>()
  upstream.roles.push((request, url) => {
    if (request.method !== "GET" || !url.pathname.endsWith(LAYER.digest)) return null
    running.add(request)
    const end = () => void running.delete(request)
    request.signal.addEventListener("abort", end)
    const body = async function* () {
      yield LAYER.bytes.subarray(0, 2 * MIB)
      await gate.promise
      end()
      yield LAYER.bytes.subarray(2 * MIB)
    }
    return new Response(body() as unknown as ReadableStream, { headers: { "content-type": LAYER.mediaType } })
  })
  return { running: () => running.size, letGo: gate.resolve }
}

async function holds({ at, server }: Lab, name: Name): Promise<boolean> {
  return Buffer.from(await (await server.get(at(name))).arrayBuffer()).equals(FILES[name])
}

describe("a layer that there is no room for", () => {
  test.each([["small"], ["medium"], ["large"], ["largest"]] as const)(
    "is not read on for a %s file when its clients have left",
    async (name) => {
      const lab = await start()
      const held = hold(lab)
      for (let round = 0; round <= PLACES; round += 1) {
        const client = new AbortController()
        const answer = lab.server.get(lab.at(name), { signal: client.signal }).catch(() => null)
        await until(() => held.running() === 1)
        client.abort()
        expect(await answer).toBeNull()
        await until(() => held.running() === 0)
      }
      held.letGo()

      expect(await holds(lab, name)).toBe(true)
    },
    20_000,
  )

  test.each([["small"], ["medium"]] as const)("is read once for all who want the same %s file", async (name) => {
    const lab = await start()
    const before = lab.fetched()
    const held = hold(lab)
    const answers = Promise.all(Array.from({ length: 10 }, async () => await holds(lab, name)))
    await until(() => held.running() === 1)
    held.letGo()

    expect(new Set(await answers)).toEqual(new Set([true]))
    expect(lab.fetched() - before).toBe(1)
  })

  test.each([["small"], ["medium"], ["large"], ["largest"]] as const)(
    "is read on when the client of a %s file should wait no longer, until that is there",
    async (name) => {
      const lab = await start("200ms", 10_000)
      const before = lab.fetched()
      const held = hold(lab)
      for (let round = 0; round < 3; round += 1) {
        const late = await lab.server.get(lab.at(name))
        expect([late.status, late.headers.get("retry-after"), await late.text()]).toEqual([503, "1", "timeout"])
      }
      expect([held.running(), lab.fetched() - before]).toEqual([1, 1])
      for (const init of [{ method: "HEAD" }, { headers: { "if-none-match": "*" } }]) {
        if (name === "small") break // whose content is looked up with it
        expect((await lab.server.get(lab.at(name), init)).status).toBe(init.method === "HEAD" ? 200 : 304)
      }
      held.letGo()

      await until(async () => await holds(lab, name))
      expect(lab.fetched() - before).toBe(1)
    },
  )
})
