import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { DISK_PROGRAMS, onTmpfs, seenBy } from "../helpers/small-disk.ts"
import { rawLayer } from "../helpers/tar-entries.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const required = needs(...DISK_PROGRAMS)

const BIG = randomBytes(3 * MIB)
const FILES = [
  { name: "first", content: "first" },
  { name: "big", content: BIG },
  { name: "filler", content: randomBytes(6 * MIB) },
  { name: "last", content: "last" },
] as const

describe.skipIf(required.isMissing)(`a disk that has no room for the files of a layer${required.note}`, () => {
  const opened: { stop(): unknown }[] = []
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.stop()
  })

  async function start(
    options: string,
    blobSpace: object | null,
    config: Readonly<Record<string, unknown>> = {},
  ): Promise<{ server: FileServer; upstream: UpstreamServer }> {
    const upstream = startUpstream()
    opened.push(upstream)
    upstream.add("lab/app", "1", await image({ layers: [rawLayer(FILES)] }))
    const dir = tempDir()
    const server = await startFiles({
      mode: "binary",
      dir,
      config,
      wrapper: onTmpfs(join(dir, "space"), options),
      blobserve: {
        repos: { [`${upstream.host}/lab/app`]: { layers: "all" } },
        blobSpace: blobSpace === null ? {} : { location: "space", ...blobSpace },
      },
    })
    opened.push(server)
    return { server, upstream }
  }

  test.each([
    ["is full", "size=4m", { maxSizeBytes: 100 * MIB }],
    ["has less free than is to be left alone", "size=40m", {}],
    ["may hold less than a layer", "size=40m", { maxSizeBytes: 2 * MIB }],
    ["is a registry's, and full", "size=4m", null],
  ])("because it %s lets them pass through", async (_, options, blobSpace) => {
    const registry = { port: 0, host: "127.0.0.1", store: "space", storeMinFreeBytes: 0 }
    const shared = blobSpace === null ? { registry } : {}
    const { server, upstream } = await start(options, blobSpace, shared)
    const path = (name: string) => `/${upstream.host}/lab/app:1/${name}`

    for (const name of ["last", "first", "first"]) expect([name, await server.text(path(name))]).toEqual([name, name])
    expect((await server.get(path("none"))).status).toBe(404)
    const [big, part] = await Promise.all([
      server.get(path("big")),
      server.get(path("big"), { headers: { range: "bytes=2000000-2000009" } }),
    ])
    expect(Buffer.from(await big.arrayBuffer()).equals(BIG)).toBe(true)
    expect([part.status, Buffer.from(await part.arrayBuffer())]).toEqual([
      206,
      Buffer.from(BIG.subarray(2_000_000, 2_000_010)),
    ])
    const used = readdirSync(seenBy(server.pid ?? 0, join(server.dir, "space")), { recursive: true, encoding: "utf8" })
      .map((name) => statSync(seenBy(server.pid ?? 0, join(server.dir, "space", name)), { throwIfNoEntry: false }))
      .reduce((sum, stat) => sum + (stat?.isFile() === true ? stat.size : 0), 0)
    expect(used).toBeLessThan(4 * MIB)
  })

  test("leaves nobody waiting when clients leave in the middle", async () => {
    const { server, upstream } = await start("size=4m", { maxSizeBytes: 100 * MIB })
    const path = (name: string) => `/${upstream.host}/lab/app:1/${name}`
    await until(async () => (await server.text(path("first"))) === "first")
    for (let round = 0; round < 20; round += 1) {
      const answer = await server.get(path("big"))
      const reader = answer.body?.getReader()
      await reader?.read()
      await reader?.cancel()
    }

    expect(Buffer.from(await (await server.get(path("big"))).arrayBuffer()).equals(BIG)).toBe(true)
  })
})
