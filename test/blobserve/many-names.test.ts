import { describe, expect, test } from "bun:test"
import { PRODUCTION } from "../../src/tuning.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, type TestImage, type TestLayer } from "../helpers/images.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { rawLayer } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const NAMES = 100
/** Room for the indexes of two such layers, and a half. */
const LIMIT = 2.5 * NAMES * 75

/** A layer with as many names, among them its own. */
const layerNamed = (name: string): TestLayer =>
  rawLayer([
    { name, content: name },
    ...Array.from({ length: NAMES - 1 }, (_, at) => ({ name: `${name}${1000 + at}`, content: "" })),
  ])

const servers = stoppedAfterEach()

interface Lab {
  readonly server: FileServer
  readonly upstream: UpstreamServer
  get(tag: string, path: string): Promise<readonly [number, string]>
  /** How often layers were asked for. */
  fetched(): number
}

async function start(images: Readonly<Record<string, TestImage>>): Promise<Lab> {
  const upstream = startUpstream()
  for (const [tag, made] of Object.entries(images)) upstream.add("lab/app", tag, made)
  const { files } = PRODUCTION
  const server = await startFiles({
    tuning: { files: { ...files, scan: { ...files.scan, memoryBytes: LIMIT } } },
    blobserve: { repos: { [`${upstream.host}/lab/app`]: { layers: "all" } } },
  })
  servers.push(upstream, server)
  const get = async (tag: string, path: string) => {
    const answer = await server.get(`/${upstream.host}/lab/app:${tag}/${path}`)
    return [answer.status, await answer.text()] as const
  }
  const fetched = () => upstream.seen.filter(({ method, path }) => method === "GET" && path.includes("/blobs/")).length
  return { server, upstream, get, fetched }
}

describe("an image with more names than there is memory for", () => {
  const LAYERS = ["a", "b", "c", "d"].map(layerNamed)

  test("is served as far as that goes, whatever was asked for before", async () => {
    const made = await image({ layers: LAYERS })
    const { fetched, get, server, upstream } = await start({ "1": made })
    const refused = new RegExp(
      `^Cannot serve files of image ${made.manifest.digest}: the indexes of 3 of its 4 layers take \\d+ bytes, more than ${LIMIT}\n$`,
    )

    for (let round = 0; round < 3; round += 1) {
      for (const name of ["d", "c"]) expect(await get("1", name)).toEqual([200, name])
      for (const name of ["none", "b", "a"]) expect(await get("1", name)).toEqual([502, expect.stringMatching(refused)])
    }
    const inside = await server.get(`/-/api/v1/images/${upstream.host}/lab/app:1`)
    expect([inside.status, await inside.text()]).toEqual([502, expect.stringMatching(refused)])
    const before = fetched()
    expect((await get("1", "none"))[0]).toBe(502)
    expect(fetched()).toBe(before)
  })

  test("does not keep another from being served", async () => {
    const small = await image({ layers: LAYERS.slice(0, 2) })
    const { get } = await start({ large: await image({ layers: LAYERS }), small })

    expect((await get("large", "none"))[0]).toBe(502)
    for (const name of ["a", "b"]) expect(await get("small", name)).toEqual([200, name])
    expect((await get("small", "none"))[0]).toBe(404)
  })

  test("has to wait when others have taken the memory, and gets it when they have ended", async () => {
    const base = rawLayer([{ name: "base", content: "base" }])
    const tags = ["1", "2", "3"]
    const entries = tags.map(async (tag) => {
      const layers = [base, layerNamed(`low${tag}-`), layerNamed(`top${tag}-`)]
      return [tag, await image({ layers })] as const
    })
    const { get, upstream } = await start(Object.fromEntries(await Promise.all(entries)))
    const gate = Promise.withResolvers<void>()
    upstream.roles.push(async (_, url) => {
      if (url.pathname.endsWith(base.digest)) await gate.promise
      return null
    })

    const isHeld = () => upstream.seen.some(({ path }) => path.endsWith(base.digest))
    const waiting = tags.slice(0, 2).map(async (tag) => await get(tag, "base"))
    await until(isHeld)
    const last = "Cannot look into so many large images at the same time, try again\n"
    await until(async () => (await get("3", "base"))[1] === last)
    gate.resolve()

    expect(await Promise.all(waiting)).toEqual([
      [200, "base"],
      [200, "base"],
    ])
    expect(await get("3", "base")).toEqual([200, "base"])
  })
})

describe("the number of layers", () => {
  test.each([
    [127, 404, "the image has no such file\n"],
    [128, 502, "it has 128 layers, more than 127\n"],
  ])("of an image can be %d: %d", async (count, status, text) => {
    const one = rawLayer([{ name: "a", content: "a" }])
    const made = await image({ layers: Array.from({ length: count }, () => one) })
    const { get } = await start({ "1": made })

    const [told, message] = await get("1", "none")
    expect([told, message.endsWith(text)]).toEqual([status, true])
  })
})
