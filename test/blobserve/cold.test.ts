import { describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import { PRODUCTION } from "../../src/tuning.ts"
import { type FileServer, type FileServerOptions, startFiles } from "../helpers/files.ts"
import { image, layer, type TestImage, type TestLayer } from "../helpers/images.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { rawLayer } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const MIB = 1024 * 1024
const servers = stoppedAfterEach()

interface Lab {
  readonly upstream: UpstreamServer
  readonly server: FileServer
  readonly image: TestImage
  /** The path of a file. */
  at(path: string): string
  /** How often layers were asked for, the lowest first. */
  fetched(): readonly number[]
}

async function start(layers: readonly TestLayer[], options: FileServerOptions = {}, repo: object = {}): Promise<Lab> {
  const upstream = startUpstream()
  const made = await image({ layers })
  upstream.add("lab/app", "1", made)
  const repos = { [`${upstream.host}/lab/app`]: { layers: "all", ...repo } }
  const server = await startFiles({ ...options, blobserve: { repos, ...options.blobserve } })
  servers.push(upstream, server)
  const fetched = () =>
    layers.map(
      ({ digest }) => upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(digest)).length,
    )
  return { upstream, server, image: made, at: (path) => `/${upstream.host}/lab/app:1/${path}`, fetched }
}

/** Holds a layer back: its first `bytes` come at once, the rest when it is let go. */
function holdBack({ upstream }: Lab, held: TestLayer, bytes: number): () => void {
  const gate = Promise.withResolvers<void>()
  upstream.roles.push((request, url) => {
    if (request.method !== "GET" || !url.pathname.endsWith(held.digest)) return null
    const body = async function* () {
      yield held.bytes.subarray(0, bytes)
      await gate.promise
      yield held.bytes.subarray(bytes)
    }
    return new Response(body as unknown as ReadableStream, { headers: { "content-type": held.mediaType } })
  })
  return gate.resolve
}

describe("a cold image", () => {
  test("is read from the top, and only as far as the path needs", async () => {
    const low = await layer({ "etc/low": "low" })
    const middle = await layer({ "app/middle": "middle" })
    const top = await layer({ "app/top": "top" })
    const lab = await start([low, middle, top])

    expect(await lab.server.text(lab.at("app/top"))).toBe("top")
    expect(lab.fetched()).toEqual([0, 0, 1])
    expect(await lab.server.text(lab.at("app/middle"))).toBe("middle")
    expect(lab.fetched()).toEqual([0, 1, 1])
    expect(await lab.server.text(lab.at("etc/low"))).toBe("low")
    expect((await lab.server.get(lab.at("nothing"))).status).toBe(404)
    expect(lab.fetched()).toEqual([1, 1, 1])
  })

  test("of which only the first layer is served needs no other", async () => {
    const first = await layer({ a: "first" })
    const second = await layer({ a: "second" })
    const lab = await start([first, second], {}, { layers: "first" })

    expect(await lab.server.text(lab.at("a"))).toBe("first")
    expect(lab.fetched()).toEqual([1, 0])
  })

  test("gives a file as soon as that has come, to be kept by nobody, and waits for the rest", async () => {
    const big = rawLayer([
      { name: "early", content: "early" },
      { name: "early.bin", content: randomBytes(MIB) },
      { name: "filler", content: randomBytes(12 * MIB) },
      { name: "late", content: "late" },
    ])
    const lab = await start([big])
    const letGo = holdBack(lab, big, 6 * MIB)

    const early = await lab.server.get(lab.at("early"))
    expect([await early.text(), early.headers.get("cache-control")]).toEqual(["early", "no-store"])
    expect(early.headers.get("etag")).not.toBeNull()
    const bin = await lab.server.get(lab.at("early.bin"), { headers: { range: "bytes=1000000-1000009" } })
    expect([bin.status, (await bin.arrayBuffer()).byteLength]).toEqual([206, 10])
    let isAnswered = false
    const late = lab.server.get(lab.at("late")).finally(() => {
      isAnswered = true
    })
    expect(await lab.server.text(lab.at("early"))).toBe("early")
    expect(isAnswered).toBe(false)

    letGo()
    expect(await (await late).text()).toBe("late")
    await until(
      async () => (await lab.server.get(lab.at("early"))).headers.get("cache-control") === "public, max-age=60",
    )
    expect(lab.fetched()).toEqual([1])
  })

  test("whose layer is small is no different", async () => {
    const small = rawLayer([
      { name: "early", content: "early" },
      { name: "early.bin", content: randomBytes(MIB) },
      { name: "filler", content: randomBytes(5 * MIB) },
    ])
    const lab = await start([small])
    const letGo = holdBack(lab, small, 5 * MIB)

    expect(await lab.server.text(lab.at("early"))).toBe("early")
    letGo()
  })

  test("that takes too long is answered with what ws-proxy knows, and read on", async () => {
    const big = rawLayer([
      { name: "filler", content: randomBytes(9 * MIB) },
      { name: "late", content: "late" },
    ])
    const lab = await start([big], { blobserve: { timeout: "100ms" } })
    const letGo = holdBack(lab, big, MIB)

    const response = await lab.server.get(lab.at("late"))
    expect([response.status, await response.text()]).toEqual([503, "timeout"])
    expect([response.headers.get("retry-after"), response.headers.get("cache-control")]).toEqual(["1", "no-store"])

    letGo()
    await until(async () => (await lab.server.text(lab.at("late"))) === "late")
    expect(lab.fetched()).toEqual([1])
  })

  test("is fetched once, whoever asks and however many", async () => {
    const one = await layer({ a: "a".repeat(1000), b: "b" })
    const lab = await start([one])

    const texts = await Promise.all(
      Array.from({ length: 200 }, (_, at) => lab.server.text(lab.at(at % 2 === 0 ? "a" : "b"))),
    )

    expect(new Set(texts)).toEqual(new Set(["a".repeat(1000), "b"]))
    expect(lab.fetched()).toEqual([1])
    expect(lab.upstream.seen.filter(({ path }) => path.endsWith("/manifests/1")).length).toBe(1)
  })

  test("is served without its upstream once it has been read, also after a restart", async () => {
    const one = await layer({ a: "a", big: "big ".repeat(100_000) })
    const lab = await start([one])
    const byDigest = (path: string) => `/${lab.upstream.host}/lab/app@${lab.image.manifest.digest}/${path}`
    await until(async () => (await lab.server.get(byDigest("a"))).headers.get("cache-control") !== "no-store")
    await lab.server.stop()
    const again = await startFiles({
      dir: lab.server.dir,
      blobserve: { repos: { [`${lab.upstream.host}/lab/app`]: { layers: "all" } } },
    })
    servers.push(again)
    lab.upstream.roles.push(() => new Response("gone", { status: 503 }))

    expect(await again.text(byDigest("a"))).toBe("a")
    expect(await again.text(byDigest("big"))).toBe("big ".repeat(100_000))
    expect(lab.fetched()).toEqual([1])
  })
})

describe("a layer that cannot be read", () => {
  const IMPATIENT = { failureMs: 1 }
  const unfinished = (dir: string): readonly string[] =>
    readdirSync(join(dir, "space/v1/tmp"), { recursive: true, encoding: "utf8" }).filter((name) => name.includes("/"))

  test("is tried again by the next request", async () => {
    const one = await layer({ a: "a" })
    const files = { ...PRODUCTION.files, scan: { ...PRODUCTION.files.scan, ...IMPATIENT } }
    const downloads = { ...PRODUCTION.downloads, perSource: 1, failureMs: 1 }
    const lab = await start([one], { tuning: { files, downloads } })
    let isBroken = true
    lab.upstream.roles.push((request, url) => {
      if (!url.pathname.endsWith(one.digest) || !isBroken) return null
      const wrong = { ...one, bytes: one.bytes.map((byte) => byte ^ 1) as Uint8Array<ArrayBuffer> }
      return contentResponse(request, wrong)
    })

    const failed = await lab.server.get(lab.at("a"))
    expect(failed.status).toBeGreaterThanOrEqual(500)
    expect(failed.headers.get("cache-control")).toBe("no-store")
    isBroken = false
    await until(async () => (await lab.server.text(lab.at("a"))) === "a")
    await until(() => unfinished(lab.server.dir).length === 0)
  })

  test("says what is wrong with it, and leaves the layers above alone", async () => {
    const broken = rawLayer([{ name: "x", flag: "Z" }])
    const top = await layer({ good: "good" })
    const lab = await start([broken, top])

    expect(await lab.server.text(lab.at("good"))).toBe("good")
    const failed = await lab.server.get(lab.at("other"))
    expect([failed.status, await failed.text()]).toEqual([
      502,
      `Cannot serve files of layer ${broken.digest}: entries of type "Z" are not supported\n`,
    ])
    expect(await lab.server.text(lab.at("good"))).toBe("good")
  })
})

describe("the room for contents", () => {
  /** Of all files in the space. */
  const used = (dir: string): number =>
    readdirSync(join(dir, "space/v1"), { recursive: true, encoding: "utf8" })
      .map((name) => statSync(join(dir, "space/v1", name), { throwIfNoEntry: false }))
      .reduce((sum, stat) => sum + (stat?.isFile() === true ? stat.size : 0), 0)

  test("is never exceeded, and what had to go comes back when it is asked for", async () => {
    const max = 6 * MIB
    const images = Array.from({ length: 6 }, () =>
      rawLayer([
        { name: "f", content: randomBytes(1.5 * MIB) },
        { name: "small", content: "s" },
      ]),
    )
    const upstream = startUpstream()
    for (const [at, one] of images.entries()) upstream.add("lab/app", String(at), await image({ layers: [one] }))
    const repos = { [`${upstream.host}/lab/app`]: { layers: "all" } }
    const server = await startFiles({ blobserve: { repos, blobSpace: { location: "space", maxSizeBytes: max } } })
    servers.push(upstream, server)
    let most = 0

    for (const at of [0, 1, 2, 3, 4, 5, 0, 3]) {
      for (const name of ["f", "small", "f"]) {
        const response = await server.get(`/${upstream.host}/lab/app:${at}/${name}`)
        expect([at, response.status, (await response.arrayBuffer()).byteLength]).toEqual([
          at,
          200,
          name === "f" ? 1.5 * MIB : 1,
        ])
        most = Math.max(most, used(server.dir))
      }
    }

    expect(most).toBeGreaterThan(3 * MIB)
    expect(most).toBeLessThanOrEqual(max)
  }, 20_000)

  test("holds little more than the compressed layer", async () => {
    const text = Array.from({ length: 200_000 }, (_, at) => `line ${at * 7919} of a file\n`).join("")
    const files = Array.from({ length: 8 }, (_, at) => ({ name: `f${at}`, content: text.slice(at * 1000) }))
    const one = rawLayer([...files, { name: "small", content: "small" }])
    const lab = await start([one])
    await until(async () => (await lab.server.get(lab.at("small"))).headers.get("cache-control") !== "no-store")

    expect(used(lab.server.dir)).toBeLessThan(one.size * 1.3)
  })
})
