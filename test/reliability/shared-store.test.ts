import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createRandom } from "../chaos/random.ts"
import { flipBit } from "../helpers/disk-store.ts"
import { type FaultyFacade, startFaultyFacade, storedDigests, storedPath } from "../helpers/faulty-facade.ts"
import { startFaultyUpstream } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, sha256, type TestLayer } from "../helpers/images.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const layersOf = (seed: number, count: number, size: number) =>
  Array.from({ length: count }, (_, index) => opaqueLayer(size + index, seed + index))

const command = async (verb: string, dir: string) => await runBinary(["store", verb, join(dir, "config.json")])
const stats = async (dir: string) => JSON.parse((await command("stats", dir)).out) as Readonly<Record<string, number>>

/** Everything in the store, with its content. */
const snapshot = (root: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .map((entry) => [join(entry.parentPath, entry.name), entry.isFile()] as const)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([path, isFile]) => [path, `${statSync(path).mtimeMs} ${isFile ? sha256(readFileSync(path)) : ""}`]),
  )

async function expectPulls(server: FaultyFacade, blobs: readonly TestLayer[]): Promise<void> {
  const answers = await Promise.all(blobs.map(async (blob) => await server.pull(blob)))

  expect(
    answers.map(({ status, body }, index) => [status, body?.equals(blobs[index]?.bytes ?? Buffer.alloc(0))]),
  ).toEqual(blobs.map(() => [200, true]))
}

const holds = (dir: string, blobs: readonly TestLayer[]): boolean =>
  blobs.every(({ digest }) => storedDigests(dir).has(digest))

describe("a store that is too small for everything", () => {
  const [old, first, second] = [layersOf(1, 8, MIB), layersOf(20, 6, MIB), layersOf(40, 6, MIB)]
  const dir = tempDir()
  const upstream = startFaultyUpstream()
  let server: FaultyFacade

  const start = async () => {
    const images = {
      old: await image({ layers: old }),
      first: await image({ layers: first }),
      second: await image({ layers: second }),
    }
    return await startFaultyFacade({
      dir,
      upstream,
      images,
      registry: { storeMaxSizeBytes: 15 * MIB, storeMinFreeBytes: 0 },
    })
  }

  beforeAll(async () => {
    const before = await start()
    await expectPulls(before, old)
    await until(() => holds(dir, old))
    await before.stop()
    // Nobody has asked for that image within the last hours
    const images = join(dir, "store/v1/images")
    const hoursAgo = Date.now() / 1000 - 3 * 60 * 60
    for (const entry of readdirSync(images, { recursive: true, encoding: "utf8" }))
      if (entry.endsWith(".json")) utimesSync(join(images, entry), hoursAgo, hoursAgo)
    server = await start()
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  test("G7: eviction while clients pull removes nothing that a recent image needs, and nobody notices it", async () => {
    let stopped = false
    const collecting = (async () => {
      const outcomes: number[] = []
      while (!stopped) outcomes.push((await command("gc", dir)).code)
      return outcomes
    })()
    const clients = Array.from({ length: 4 }, async () => {
      for (let round = 0; round < 3; round += 1) await expectPulls(server, first)
    })
    await Promise.all(clients)
    await until(() => holds(dir, first))
    for (let round = 0; round < 3; round += 1) await expectPulls(server, [...second, ...first])
    await until(() => holds(dir, [...first, ...second]))
    stopped = true
    const outcomes = await collecting

    expect([outcomes.length > 0, outcomes.every((code) => code === 0)]).toEqual([true, true])
    expect(holds(dir, [...first, ...second])).toBe(true)
    expect(first.map(({ digest }) => upstream.asked(digest).length)).toEqual(first.map(() => 1))
    expect(old.filter(({ digest }) => storedDigests(dir).has(digest)).length).toBeLessThan(4)
    expect((await stats(dir))["bytes"]).toBeLessThanOrEqual(15 * MIB)
  }, 60_000)

  test("G7: what is evicted is fetched again, and what is in use stays even when there is no room for more", async () => {
    await expectPulls(server, old)
    await expectPulls(server, [...first, ...second])

    expect(holds(dir, [...first, ...second])).toBe(true)
    expect(first.map(({ digest }) => upstream.asked(digest).length)).toEqual(first.map(() => 1))
    expect(await server.metric('store_bypass_total{reason="quota"}')).toBeGreaterThan(0)
    expect((await stats(dir))["bytes"]).toBeLessThanOrEqual(15 * MIB)
  }, 30_000)
})

describe("two processes on one store", () => {
  const layers = [0, 1, 4095, 70_000, 300_000, 2 * MIB, 9 * MIB].map((size, index) => opaqueLayer(size, 60 + index))
  const dir = tempDir()
  const upstream = startFaultyUpstream()
  const servers: FaultyFacade[] = []

  const start = async (place: string) => {
    const images = { a: await image({ layers }) }
    const own = join(dir, place)
    mkdirSync(own, { recursive: true })
    const server = await startFaultyFacade({ dir: own, upstream, images, registry: { store: join(dir, "store") } })
    servers.push(server)
    return server
  }
  afterAll(async () => {
    for (const server of servers) await server.stop()
    upstream.stop()
  })

  const workplaces = () => readdirSync(join(dir, "store/v1/tmp")).filter((name) => !name.endsWith(".lock"))

  test("G8: pull the same blobs at the same time, and all of them are right, in the answers and on the disk", async () => {
    const [one, two] = await Promise.all([start("one"), start("two")])
    await Promise.all([one, two].map(async (server) => await server.facade.get("/v2/fixed/a/manifests/latest")))
    const random = createRandom(Math.floor(Date.now() / 86_400_000), "two")
    for (let round = 0; round < 5; round += 1) {
      const pick = () => layers.filter(() => random.below(3) > 0)
      await Promise.all([expectPulls(one, pick()), expectPulls(two, pick()), expectPulls(one, pick())])
    }
    await expectPulls(one, layers)
    await until(() => holds(dir, layers))

    for (const { digest } of layers) expect(sha256(readFileSync(storedPath(dir, digest)))).toBe(digest)
    expect(workplaces().length).toBe(2)
  }, 30_000)

  test("G8: one serves what the other has fetched", async () => {
    const three = await start("three")
    await three.facade.get("/v2/fixed/a/manifests/latest")
    const asked = layers.map(({ digest }) => upstream.asked(digest).length)
    await expectPulls(three, layers)

    expect(layers.map(({ digest }) => upstream.asked(digest).length)).toEqual(asked)
  })

  test("G8: what a killed one leaves is swept by the next, what a living one is writing is not", async () => {
    const [one, two, three] = servers
    await Promise.all([one?.stop(), three?.stop()])
    const living = workplaces()
    expect(living.length).toBe(3)
    const four = await start("four")
    await until(() => workplaces().length === 2)

    expect(workplaces().some((name) => living.includes(name))).toBe(true)
    for (const server of [two, four]) if (server !== undefined) await expectPulls(server, layers)
  })
})

describe("the store's commands", () => {
  const layers = layersOf(80, 5, 400_000)
  const dir = tempDir()
  let server: FaultyFacade

  test("say that there is no store, and make none, where nothing has been served yet", async () => {
    const empty = tempDir()
    writeFileSync(join(empty, "config.json"), JSON.stringify({ registry: { store: "store" } }))
    for (const verb of ["stats", "gc", "verify"]) {
      const { code, err } = await command(verb, empty)
      expect([verb, code]).toEqual([verb, 1])
      expect(err).toContain(`There is no store in ${join(empty, "store/v1")} yet`)
    }

    expect(readdirSync(empty)).toEqual(["config.json"])
  })

  test("stats counts what a serving process keeps", async () => {
    server = await startFaultyFacade({ dir, images: { a: await image({ layers }) } })
    await server.facade.get("/v2/fixed/a/manifests/latest")
    await expectPulls(server, layers)
    await until(() => holds(dir, layers))
    const { blobs, bytes, inUseBlobs, putAside, freeBytes } = await stats(dir)
    const sum = layers.reduce((total, { size }) => total + size, 0)

    // And the documents
    expect(blobs).toBeGreaterThanOrEqual(layers.length + 2)
    expect(bytes).toBeGreaterThan(sum)
    expect(inUseBlobs).toBeGreaterThanOrEqual(layers.length + 2)
    expect([putAside, (freeBytes ?? 0) > 0]).toEqual([0, true])
  })

  test("verify finds a file that rots under a serving process, which fetches it again", async () => {
    const [rotten] = layers as [TestLayer]
    flipBit(storedPath(dir, rotten.digest), 1000)
    const { code, out } = await command("verify", dir)

    expect(code).toBe(1)
    expect(out).toContain(`wrong, put aside: ${rotten.digest}\n`)
    expect(out).toMatch(/^\d+ blobs checked, 1 were wrong$/m)
    expect((await stats(dir))["putAside"]).toBe(1)
    await expectPulls(server, layers)
    await until(() => holds(dir, layers))
    expect(server.upstream.asked(rotten.digest).length).toBe(2)
    const again = await command("verify", dir)
    expect([again.code, /, 0 were wrong\n$/.test(again.out)]).toEqual([0, true])
  })

  test("gc removes what is over the limit, and nothing that a serving process needs", async () => {
    const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"))
    writeFileSync(
      join(dir, "small.json"),
      JSON.stringify({ registry: { ...config.registry, storeMaxSizeBytes: 1000 } }),
    )
    const { code, out } = await runBinary(["store", "gc", join(dir, "small.json")])

    expect([code, out]).toEqual([
      0,
      expect.stringMatching(/^removed 0 blobs, 0 bytes; \d+ blobs, \d+ bytes are left\n$/),
    ])
    await expectPulls(server, layers)
    await server.stop()
    const images = join(dir, "store/v1/images")
    for (const entry of readdirSync(images, { recursive: true, encoding: "utf8" }))
      if (entry.endsWith(".json")) utimesSync(join(images, entry), 0, 0)
    const later = await runBinary(["store", "gc", join(dir, "small.json")])

    expect([later.code, storedDigests(dir).size]).toEqual([0, 0])
    expect(readdirSync(join(dir, "store/v1/tmp"))).toEqual([])
  }, 30_000)
})

describe("a store of another version", () => {
  const layers = layersOf(90, 4, 300_000)
  const dir = tempDir()

  test("I8: is neither read nor changed: not by serving, not by any command", async () => {
    const root = join(dir, "store/v1")
    const before = await startFaultyFacade({ dir, images: { a: await image({ layers }) } })
    await expectPulls(before, layers)
    await until(() => holds(dir, layers))
    await before.stop()
    // As another version might have it: a name that stands for something else
    flipBit(storedPath(dir, layers[0]?.digest ?? ""), 7)
    writeFileSync(join(root, "layout"), "registry-facade store 2\n")
    const found = snapshot(root)
    const server = await startFaultyFacade({ dir, images: { a: await image({ layers }) } })
    for (let round = 0; round < 2; round += 1) await expectPulls(server, layers)
    await server.facade.get("/v2/fixed/a/manifests/latest")
    const outcomes = await Promise.all(["stats", "gc", "verify"].map(async (verb) => await command(verb, dir)))

    expect(snapshot(root)).toEqual(found)
    expect(outcomes.map(({ code }) => code)).toEqual([1, 1, 1])
    for (const { err } of outcomes)
      expect(err).toContain('has the layout "registry-facade store 2\\n", which this version')
    expect(server.upstream.asked(layers[0]?.digest ?? "").length).toBeGreaterThan(0)
    expect(await server.metric('store_bypass_total{reason="readonly"}')).toBeGreaterThan(0)
    await server.stop()
    expect(snapshot(root)).toEqual(found)
  }, 30_000)
})
