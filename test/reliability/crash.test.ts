import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createRandom } from "../chaos/random.ts"
import { type FaultyFacade, startFaultyFacade, storedDigests, storedPath } from "../helpers/faulty-facade.ts"
import { startFaultyUpstream } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, sha256 } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { readTrace, type SystemCall, tracing } from "../helpers/strace.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

/** A thousand take a quarter of an hour. */
const KILLS = Number(process.env["KILLS"] ?? 8)
const LIMIT_MS = 5000 + KILLS * 2500

const filesBelow = (dir: string): readonly string[] =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))

/** Of processes that have ended or not: content that has no name yet. */
const unfinished = (dir: string): readonly string[] =>
  filesBelow(join(dir, "store/v1/tmp")).filter((path) => !path.endsWith(".lock"))

/** Every file of the store is what its name says. */
function expectTrueStore(dir: string): void {
  for (const digest of storedDigests(dir)) expect(sha256(readFileSync(storedPath(dir, digest)))).toBe(digest)
}

describe("a process that is killed", () => {
  const sizes = [1, 4096, 70_000, 300_000, 1_000_000, 2_500_000, 9 * 1024 * 1024]
  const blobs = sizes.map((size, index) => opaqueLayer(size, index))
  const running = new Set<FaultyFacade>()
  const upstream = startFaultyUpstream()
  afterAll(async () => {
    for (const one of running) await one.stop()
    upstream.stop()
  })
  const start = async (dir: string) => {
    const server = await startFaultyFacade({ dir, upstream, images: { a: await image({ layers: blobs }) } })
    running.add(server)
    return server
  }
  const kill = async (server: FaultyFacade) => {
    running.delete(server)
    await server.stop() // with SIGKILL
  }

  test(
    `G1: kill -9 at any time leaves old files or whole new ones, and what was unfinished is swept (${KILLS} times)`,
    async () => {
      const dir = tempDir()
      const random = createRandom(Math.floor(Date.now() / 86_400_000), "kill")
      let torn = 0
      for (let kills = 0; kills < KILLS; kills += 1) {
        const server = await start(dir)
        await server.facade.get("/v2/fixed/a/manifests/latest")
        for (const { digest } of blobs) if (random.below(3) > 0) rmSync(storedPath(dir, digest), { force: true })
        const moment = random.below(4)
        const pulls = Promise.all(blobs.map(async (blob) => await server.pull(blob).catch(() => null)))
        // Somewhere in the middle: as soon as something is unfinished, and then a little later
        if (moment > 0) await until(() => unfinished(dir).length > 0 || storedDigests(dir).size >= blobs.length)
        if (moment > 1) await Bun.sleep(random.below(40))
        await kill(server)
        await pulls
        if (unfinished(dir).length > 0) torn += 1
        expectTrueStore(dir)
      }
      const server = await start(dir)
      await until(() => unfinished(dir).length === 0 && readdirSync(join(dir, "store/v1/tmp")).length === 2)

      expect(torn).toBeGreaterThan(0)
      for (const blob of blobs) expect((await server.pull(blob)).body?.equals(blob.bytes)).toBe(true)
      await kill(server)
    },
    LIMIT_MS,
  )

  test("G2: the directory is the truth: whatever else was lost or torn, every blob in it is served from it", async () => {
    const dir = tempDir()
    const first = await start(dir)
    await first.facade.get("/v2/fixed/a/manifests/latest")
    for (const blob of blobs) await first.pull(blob)
    await until(() => blobs.every(({ digest }) => storedDigests(dir).has(digest)))
    await kill(first)
    const others = ["facts", "images"].flatMap((name) => filesBelow(join(dir, "store/v1", name)))
    expect(others.length).toBeGreaterThan(1)
    others.forEach((path, index) => {
      if (index % 3 === 0) rmSync(path)
      else writeFileSync(path, index % 3 === 1 ? "" : `${readFileSync(path, "utf8").slice(0, -20)}\u0000torn`)
    })

    const asked = blobs.map(({ digest }) => upstream.asked(digest).length)
    const second = await start(dir)
    for (const blob of blobs) {
      const { status, headers, body } = await second.pull(blob)
      expect([status, headers.get("content-length"), body?.equals(blob.bytes)]).toEqual([200, String(blob.size), true])
    }
    expect(blobs.map(({ digest }) => upstream.asked(digest).length)).toEqual(asked)
    await kill(second)
  }, 30_000)
})

const traced = needs("strace")

describe.skipIf(traced.isMissing)(`power that is cut${traced.note}`, () => {
  const blobs = [opaqueLayer(300_000, 1), opaqueLayer(9 * 1024 * 1024, 2)]

  test("G3: content is on the disk before it gets its name, and the name before anything relies on it", async () => {
    const dir = tempDir()
    const trace = join(dir, "trace")
    const calls = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,mkdir,mkdirat,fchmod"
    const server = await startFaultyFacade({
      dir,
      images: { a: await image({ layers: blobs }) },
      wrapper: tracing(trace, calls),
    })
    for (const blob of blobs) await server.pull(blob)
    await until(() => blobs.every(({ digest }) => storedDigests(dir).has(digest)))
    await until(() => blobs.every(({ digest }) => isSynced(readTrace(trace), dir, digest)))
    await server.stop()

    for (const { digest, size } of blobs) {
      const found = readTrace(trace)
      const path = storedPath(dir, digest)
      const rename = only(found.filter(({ name, args }) => name.startsWith("rename") && args.includes(`"${path}"`)))
      const draft = /"([^"]+)"/.exec(rename.args)?.[1] ?? ""
      const onDraft = found.filter(({ args }) => args.startsWith(`${args.split("<")[0]}<${draft}>`))
      const writes = onDraft.filter(({ name }) => name === "write" || name === "pwrite64")
      const sync = only(onDraft.filter(({ name }) => name === "fsync"))

      expect(draft).toContain(join(dir, "store/v1/tmp/"))
      expect(writes.reduce((sum, { result }) => sum + result, 0)).toBe(size)
      expect(Math.max(...writes.map(({ end }) => end))).toBeLessThan(sync.start)
      expect([sync.result, sync.end < rename.start, rename.result]).toEqual([0, true, 0])
      const made = found.filter(
        ({ name, args }) => name.startsWith("mkdir") && args.includes(`"${shardOf(dir, digest)}"`),
      )
      for (const { end } of made) {
        const parents = found.filter(
          ({ name, args }) => name === "fsync" && args.includes(`<${join(dir, "store/v1/blobs")}`),
        )
        expect(parents.some(({ start }) => start > end)).toBe(true)
      }
    }
  }, 30_000)
})

const shardOf = (dir: string, digest: string): string => join(dir, "store/v1/blobs/sha256", digest.slice(7, 9))

/** The directory was synced after the file got its name. */
function isSynced(calls: readonly SystemCall[], dir: string, digest: string): boolean {
  const named = calls.find(
    ({ name, args }) => name.startsWith("rename") && args.includes(`"${storedPath(dir, digest)}"`),
  )
  return calls.some(
    ({ name, args, start }) =>
      name === "fsync" && args.includes(`<${shardOf(dir, digest)}>`) && named !== undefined && start > named.end,
  )
}

function only<Value>(values: readonly Value[]): Value {
  const [value] = values
  if (value === undefined || values.length > 1) throw new Error(`Not exactly one, but ${values.length}`)
  return value
}
