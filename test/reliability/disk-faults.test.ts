import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmodSync, existsSync, mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Spool } from "../../src/blob/spool.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { head } from "../chaos/raw-http.ts"
import { type FaultyFacade, startFaultyFacade, storedDigests, storedPath } from "../helpers/faulty-facade.ts"
import { image, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { DISK_PROGRAMS, onTmpfs, remount, seenBy } from "../helpers/small-disk.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
/** Longer than the store rests after trouble. */
const HEALED_MS = 20_000
const disk = needs(...DISK_PROGRAMS)

interface OnDisk extends FaultyFacade {
  readonly store: string
  readonly pid: number
  /** Digests that are kept. */
  kept(): ReadonlySet<string>
  bypassed(reason: string): Promise<number>
}

/** A facade whose store is a disk of its own. */
async function startOnDisk(layers: readonly TestLayer[], options: string, filled = ""): Promise<OnDisk> {
  const dir = tempDir()
  const store = join(dir, "store")
  const prepare = filled === "" ? "true" : `cp -a '${filled}/.' '${store}' && mount -o remount,ro '${store}'`
  const server = await startFaultyFacade({
    dir,
    images: { a: await image({ layers }) },
    registry: { storeMinFreeBytes: 0 },
    wrapper: onTmpfs(store, options, prepare),
  })
  const pid = server.facade.pid ?? 0
  return {
    ...server,
    store,
    pid,
    kept: () => storedDigests(seenBy(pid, dir)),
    bypassed: async (reason) => await server.metric(`store_bypass_total{reason="${reason}"}`),
  }
}

/** The whole truth, for every one. */
async function expectServed(server: FaultyFacade, blobs: readonly TestLayer[]): Promise<void> {
  const answers = await Promise.all(blobs.map(async (blob) => await server.pull(blob)))

  expect(
    answers.map(({ status, body }, index) => [status, body?.equals(blobs[index]?.bytes ?? Buffer.alloc(0))]),
  ).toEqual(blobs.map(() => [200, true]))
}

/** Clients go on asking; caching has to come back by itself meanwhile. */
async function expectKeptAgain(server: OnDisk, blobs: readonly TestLayer[]): Promise<void> {
  await until(async () => {
    await expectServed(server, blobs)
    return blobs.every(({ digest }) => server.kept().has(digest))
  }, HEALED_MS)
}

describe.skipIf(disk.isMissing)(`a disk that is full${disk.note}`, () => {
  const small = Array.from({ length: 12 }, (_, index) => opaqueLayer(1_500_000, index))
  const [large, cut, later] = [opaqueLayer(12 * MIB, 50), opaqueLayer(9 * MIB, 51), opaqueLayer(100_000, 52)]
  const filler = "filler"
  let server: OnDisk

  beforeAll(async () => {
    server = await startOnDisk([...small, large, cut, later], "size=8m")
  })
  afterAll(async () => await server.stop())

  test("G4: every client is served, one after the other and all at once, from 8 MiB for 30 MiB of blobs", async () => {
    for (const blob of small.slice(0, 6)) await expectServed(server, [blob])
    await expectServed(server, [...small, large, large])
    await expectServed(server, [large, ...small])

    expect(server.kept().size).toBeGreaterThan(0)
    expect(await server.bypassed("enospc")).toBeGreaterThan(0)
  })

  test("G4: caching resumes by itself when there is room again, while clients go on asking", async () => {
    await remount(server.pid, server.store, "size=64m")

    await expectKeptAgain(server, [large, ...small])
  })

  test("G4: a disk that fills up in the middle of a blob costs the client nothing", async () => {
    const { size, bytes, digest } = cut
    server.upstream.plan(digest, async (_, connection) => {
      await connection.send(head(200, { "content-length": size }))
      await connection.send(bytes.subarray(0, 4 * MIB))
      await until(() => unfinished(server) >= 1)
      fill(seenBy(server.pid, join(server.store, filler)))
      await connection.send(bytes.subarray(4 * MIB))
      return true
    })
    await expectServed(server, [cut])

    expect(server.kept().has(digest)).toBe(false)
    expect(server.upstream.asked(digest).length).toBe(1)
    await until(() => unfinished(server) === 0)
    rmSync(seenBy(server.pid, join(server.store, filler)))
    await expectKeptAgain(server, [later, cut])
  }, 40_000)
})

describe.skipIf(disk.isMissing)(`a disk that cannot be written${disk.note}`, () => {
  const [kept, large, other, last] = [
    opaqueLayer(400_000, 1),
    opaqueLayer(9 * MIB, 2),
    opaqueLayer(400_000, 3),
    opaqueLayer(400_000, 4),
  ]
  let server: OnDisk

  beforeAll(async () => {
    const layers = [kept, large, other, last]
    const before = await startFaultyFacade({ images: { a: await image({ layers }) } })
    await before.pull(kept)
    await until(() => storedDigests(before.facade.dir).has(kept.digest))
    await before.stop()
    server = await startOnDisk(layers, "size=64m", join(before.facade.dir, "store"))
    await server.facade.get("/v2/fixed/a/manifests/latest") // the name has moved to another upstream
  })
  afterAll(async () => await server.stop())

  test("G5: a read-only store gives what it has, passes the rest on, and tells", async () => {
    await expectServed(server, [kept, large, other, kept, large])

    expect([server.kept().has(kept.digest), server.kept().has(other.digest)]).toEqual([true, false])
    expect(server.upstream.asked(kept.digest).length).toBe(0)
    expect(await server.bypassed("readonly")).toBeGreaterThan(0)
  })

  test("G5: and keeps again once it can be written, while clients go on asking", async () => {
    await remount(server.pid, server.store, "rw")

    await expectKeptAgain(server, [large, other, last])
  }, 30_000)
})

describe.skipIf(disk.isMissing)(`a disk without inodes${disk.note}`, () => {
  const blobs = Array.from({ length: 30 }, (_, index) => opaqueLayer(300_000 + index, index))
  let server: OnDisk

  beforeAll(async () => {
    server = await startOnDisk(blobs, "size=64m,nr_inodes=40")
  })
  afterAll(async () => await server.stop())

  test("G5: not even a workplace fits: nothing is left open by trying again and again", async () => {
    const tight = await startOnDisk(blobs.slice(0, 2), "size=64m,nr_inodes=7")
    await until(async () => {
      await expectServed(tight, blobs.slice(0, 2))
      return (await tight.bypassed("enospc")) > 0
    })
    const locks = openLocks(tight)
    await tight.stop()

    expect(locks).toBeLessThanOrEqual(1)
  })

  test("G5: every client is served, and caching resumes when there are inodes again", async () => {
    await expectServed(server, blobs)
    expect(server.kept().size).toBeLessThan(blobs.length)
    expect(await server.bypassed("enospc")).toBeGreaterThan(0)
    await remount(server.pid, server.store, "nr_inodes=4000")

    await expectKeptAgain(server, blobs)
    expect(openLocks(server)).toBe(1)
  }, 40_000)
})

const other = needs("root", "setpriv")

describe.skipIf(other.isMissing)(`a directory of somebody else${other.note}`, () => {
  const blobs = [opaqueLayer(300_000, 1), opaqueLayer(9 * MIB, 2)]
  let server: FaultyFacade

  beforeAll(async () => {
    const dir = tempDir()
    mkdirSync(join(dir, "store"))
    chmodSync(dir, 0o755)
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    server = await startFaultyFacade({ dir, images: { a: await image({ layers: blobs }) }, wrapper: nobody })
  })
  afterAll(async () => await server.stop())

  test("G5: is not written, clients are served, and the log says why", async () => {
    await expectServed(server, [...blobs, ...blobs])

    expect(readdirSync(join(server.facade.dir, "store"))).toEqual([])
    expect(await server.metric('store_bypass_total{reason="readonly"}')).toBeGreaterThan(0)
    const warning = server.facade.logs.find(({ message }) => message === "content is served without being kept")
    expect(JSON.stringify(warning)).toContain("EACCES")
  })
})

describe("a disk with errors", () => {
  const moments = ["open", "write", "keep"] as const
  const blobs = moments.map((_, index) => [opaqueLayer(300_000, index), opaqueLayer(9 * MIB, 10 + index)] as const)
  let broken: (typeof moments)[number] | null = null
  let server: FaultyFacade

  beforeAll(async () => {
    const failure = () => Promise.reject(Object.assign(new Error("EIO: i/o error"), { code: "EIO" }))
    server = await startFaultyFacade({
      mode: "source",
      images: { a: await image({ layers: blobs.flat() }) },
      tuning: {
        ...PRODUCTION,
        disk: (open) => async (size) => {
          if (broken === "open") return await failure()
          const spool: Spool = await open(size)
          const own = {
            isWindow: false,
            write: (bytes: Uint8Array) => (broken === "write" && size !== null ? failure() : spool.write(bytes)),
            keep: (descriptor: Parameters<Spool["keep"]>[0]) =>
              broken === "keep" ? failure() : spool.keep(descriptor),
          }
          const rest = {
            read: spool.read.bind(spool),
            advance: spool.advance.bind(spool),
            reset: spool.reset.bind(spool),
          }
          return { ...own, ...rest, close: () => spool.close() }
        },
      },
    })
  })
  afterAll(async () => await server.stop())

  test.each(moments.map((moment, index) => [moment, index] as const))(
    "G5: I/O errors at %s are not the client's",
    async (moment, index) => {
      const pair = blobs[index] ?? []
      broken = moment
      await expectServed(server, [...pair, ...pair])
      expect(pair.some(({ digest }) => storedDigests(server.facade.dir).has(digest))).toBe(false)
      broken = null

      for (const blob of pair) {
        await until(async () => {
          await expectServed(server, [blob])
          return existsSync(storedPath(server.facade.dir, blob.digest))
        })
      }
    },
  )
})

const unfinished = ({ pid, store }: OnDisk): number => {
  const tmp = seenBy(pid, join(store, "v1/tmp"))
  return readdirSync(tmp, { recursive: true, withFileTypes: true }).filter(
    (entry) => entry.isFile() && !entry.name.endsWith(".lock"),
  ).length
}

const openLocks = ({ pid, store }: OnDisk): number =>
  readdirSync(`/proc/${pid}/fd`).filter((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`).startsWith(join(store, "v1/tmp"))
    } catch {
      return false // closed meanwhile
    }
  }).length

/** Writes until nothing more fits. */
function fill(path: string): void {
  const piece = new Uint8Array(MIB)
  try {
    for (;;) writeFileSync(path, piece, { flag: "a" })
  } catch {
    // it is full
  }
}
