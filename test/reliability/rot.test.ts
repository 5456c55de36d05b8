import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import type { Clock } from "../../src/lib/clock.ts"
import { readBytes } from "../../src/lib/stream.ts"
import { createRandom } from "../chaos/random.ts"
import { descriptorOf, flipBit, keep, openTestStore, pathIn, putAside } from "../helpers/disk-store.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { type FaultyFacade, startFaultyFacade, storedDigests, storedPath } from "../helpers/faulty-facade.ts"
import { startFaultyUpstream } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const never = new AbortController().signal

async function warm(server: FaultyFacade, blobs: readonly TestLayer[]): Promise<void> {
  await server.facade.get("/v2/fixed/a/manifests/latest")
  for (const blob of blobs) await server.pull(blob)
  await until(() => blobs.every(({ digest }) => storedDigests(server.facade.dir).has(digest)))
}

/** The truth, once more from upstream, and in the store again. */
async function expectHealed(server: FaultyFacade, blob: TestLayer): Promise<void> {
  const asked = server.upstream.asked(blob.digest).length
  const { status, body } = await server.pull(blob)

  expect([status, body?.equals(blob.bytes)]).toEqual([200, true])
  expect(server.upstream.asked(blob.digest).length).toBe(asked + 1)
  const path = storedPath(server.facade.dir, blob.digest)
  await until(
    () => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true && readFileSync(path).equals(blob.bytes),
  )
}

describe("a file of the store that has gone bad", () => {
  const blobs = [100, 70_000, 400_000, 9 * MIB].map((size, index) => opaqueLayer(size, index))
  const dir = tempDir()
  const upstream = startFaultyUpstream()
  let server: FaultyFacade

  beforeAll(async () => {
    const images = { a: await image({ layers: blobs }) }
    const before = await startFaultyFacade({ dir, upstream, images })
    await warm(before, blobs)
    await before.stop()
    for (const { digest, size } of blobs) flipBit(storedPath(dir, digest), size >> 1)
    server = await startFaultyFacade({ dir, upstream, images })
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  test.each(blobs.map((blob) => [blob.size, blob] as const))(
    "G6: one bit in %p bytes is found when it is first read after a start, put aside, and fetched again",
    async (_, blob) => {
      const aside = putAside(join(dir, "store")).length
      await expectHealed(server, blob)

      expect(putAside(join(dir, "store")).length).toBe(aside + 1)
    },
  )

  test("G6: operators are told by a metric and by the log", async () => {
    expect(await server.metric('integrity_failures_total{source="disk"}')).toBe(blobs.length)
    const told = server.facade.logs.filter(({ message }) => message === "a file of the store is not what its name says")
    expect(told.map(({ digest }) => digest)).toEqual(blobs.map(({ digest }) => digest))
  })
})

describe("a file that is checked while it is sent, because checking takes long", () => {
  /** No patience at all: every check takes longer. */
  const hasty: Clock = { now: () => 0, sleep: async () => {} }
  const [right, wrong] = [opaqueLayer(9 * MIB, 1), opaqueLayer(9 * MIB, 2)]
  const root = tempDir()

  beforeAll(async () => {
    const { store } = openTestStore(root)
    for (const blob of [right, wrong]) await keep(store, blob)
    await store.close()
    flipBit(pathIn(root, wrong.digest), 8 * MIB)
  })

  const open = async (blob: TestLayer, start: number, end: number) => {
    const { store } = openTestStore(root, hasty)
    const found = await store.find(descriptorOf(blob), never)
    if (found?.kind !== "stream") throw new Error(`It was not sent while it was checked, but found as ${found?.kind}`)
    return await found.open({ start, end }, never)
  }

  test.each([
    ["all of it", 0, 9 * MIB],
    ["a range before the rot", 0, MIB],
    ["the last byte", 9 * MIB - 1, 9 * MIB],
  ])("G6: never ends well when it is wrong, whatever was asked for: %s", async (_, start, end) => {
    const stream = await open(wrong, start, end)
    let received = 0
    const reading = (async () => {
      for await (const chunk of stream) received += chunk.byteLength
    })()

    await expect(reading).rejects.toThrow("the file in the store was wrong")
    expect(received).toBeLessThan(end - start)
    // Put back, for the next row
    const [aside = ""] = putAside(root)
    renameSync(join(root, "v1/bad", aside), pathIn(root, wrong.digest))
  })

  test("G6: is sent whole when it is right", async () => {
    const bytes = await readBytes(await open(right, 5, right.size), right.size)

    expect(Buffer.from(bytes).equals(right.bytes.subarray(5))).toBe(true)
  })

  test("G6: a client that leaves leaves no file open", async () => {
    const stream = await open(right, 0, right.size)
    expect(openFilesOn(pathIn(root, right.digest))).toBeGreaterThan(0)
    await stream.getReader().cancel()

    await until(() => openFilesOn(pathIn(root, right.digest)) === 0)
  })
})

describe("looking at the whole store", () => {
  const blobs = Array.from({ length: 60 }, (_, index) => opaqueLayer(20_000 + index, index))
  const random = createRandom(Math.floor(Date.now() / 86_400_000), "rot")
  const rotten = blobs.filter(() => random.below(3) === 0)
  let root: string

  const fill = async () => {
    root = tempDir()
    const { store } = openTestStore(root)
    for (const blob of blobs) await keep(store, blob)
    await store.close()
    for (const { digest, size } of rotten) flipBit(pathIn(root, digest), random.below(size))
  }
  const expectFound = () => {
    expect(
      putAside(root)
        .map((name) => name.slice(0, 64))
        .sort(),
    ).toEqual(rotten.map(({ digest }) => digest.slice(7)).sort())
    for (const blob of blobs)
      if (!rotten.includes(blob)) expect(statSync(pathIn(root, blob.digest)).size).toBe(blob.size)
  }

  test("G6: the scrub in the background finds every single bit in one pass", async () => {
    await fill()
    const clock = createFakeClock()
    const { store, metrics } = openTestStore(root, clock)
    const abort = new AbortController()
    await store.maintain()
    const scrubbing = store.scrub(abort.signal)
    await until(async () => {
      clock.advance(60 * 60 * 1000)
      return putAside(root).length === rotten.length
    })
    abort.abort()
    await scrubbing
    await store.close()

    expectFound()
    const counted = (await metrics.integrityFailures.get()).values.filter(({ value }) => value > 0)
    expect(counted.map(({ labels, value }) => [labels.source, value])).toEqual([["disk", rotten.length]])
  })

  test("G6: `store verify` finds every single bit, says so, and fails", async () => {
    await fill()
    const { store } = openTestStore(root)
    const report = await store.verifyAll()

    expect(report.checked).toBe(blobs.length)
    expect([...report.wrong].map(String).sort()).toEqual(rotten.map(({ digest }) => digest).sort())
    expectFound()
    expect((await store.verifyAll()).wrong).toEqual([])
  })
})

describe("files that somebody else touches while the facade serves", () => {
  const victims = Array.from({ length: 8 }, (_, index) => opaqueLayer(index % 2 === 0 ? 300_000 : 70_000, 20 + index))
  const [shorter, longer, empty, link, hardLink, pipe, directory, large] = Array.from({ length: 8 }, (_, index) =>
    opaqueLayer(index === 7 ? 9 * MIB : 300_000, index),
  ) as [TestLayer, TestLayer, TestLayer, TestLayer, TestLayer, TestLayer, TestLayer, TestLayer]
  const all = [shorter, longer, empty, link, hardLink, pipe, directory, large]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({ images: { a: await image({ layers: [...all, ...victims] }) } })
    await warm(server, [...all, ...victims])
  })
  afterAll(async () => await server.stop())

  const pathOf = ({ digest }: TestLayer) => storedPath(server.facade.dir, digest)
  const writable = (blob: TestLayer) => {
    chmodSync(pathOf(blob), 0o600)
    return pathOf(blob)
  }

  test("G9: what the facade knows of a file is no promise that it is there", async () => {
    let stopped = false
    const failures: string[] = []
    let [again, pulls] = [0, 0]
    const clients = Array.from({ length: 8 }, async (_, client) => {
      while (!stopped) {
        const blob = victims[(client + pulls) % victims.length] as TestLayer
        const { status, headers, body } = await server.pull(blob)
        pulls += 1
        // Removed in the moment between looking and opening: the client is told to come back, and does
        if (status === 503 && headers.get("retry-after") === "1") again += 1
        else if (status !== 200 || body?.equals(blob.bytes) !== true)
          failures.push(`${status} ${body?.toString().slice(0, 200)}`)
      }
    })
    for (let deleted = 0; deleted < 250; deleted += 1) {
      const blob = victims[deleted % victims.length] as TestLayer
      rmSync(pathOf(blob), { force: true })
      const before = pulls
      await until(() => pulls > before + 2)
    }
    stopped = true
    await Promise.all(clients)

    expect([failures, pulls > 500]).toEqual([[], true])
    expect(again).toBeLessThan(pulls / 50)
  }, 60_000)

  test("G10: a file that became shorter is put aside, and fetched again", async () => {
    truncateSync(writable(shorter), 299_999)
    await expectHealed(server, shorter)
  })

  test("G10: a file that became longer is put aside, and fetched again", async () => {
    writeFileSync(writable(longer), "x", { flag: "a" })
    await expectHealed(server, longer)
  })

  test("G10: a file that became empty is put aside, and fetched again", async () => {
    truncateSync(writable(empty), 0)
    await expectHealed(server, empty)
  })

  test("G10: the same for one that is sent straight from the disk", async () => {
    truncateSync(writable(large), 8 * MIB)
    await expectHealed(server, large)
  })

  test("G11: a symlink in place of a file is not followed", async () => {
    const canary = join(tempDir(), "canary")
    writeFileSync(canary, link.bytes) // even where it leads to the right content
    rmSync(pathOf(link))
    symlinkSync(canary, pathOf(link))
    await expectHealed(server, link)

    expect(readFileSync(canary).equals(link.bytes)).toBe(true)
  })

  test("G11: another file under the name is noticed, however it came there", async () => {
    const canary = join(tempDir(), "canary")
    writeFileSync(canary, Buffer.alloc(hardLink.size, "secret"))
    rmSync(pathOf(hardLink))
    linkSync(canary, pathOf(hardLink))
    await expectHealed(server, hardLink)
  })

  test("G11: a pipe under the name holds nobody up", async () => {
    rmSync(pathOf(pipe))
    await output(["mkfifo", pathOf(pipe)])
    await expectHealed(server, pipe)
  })

  test("G11: a directory under the name is no file", async () => {
    rmSync(pathOf(directory))
    mkdirSync(pathOf(directory))
    await expectHealed(server, directory)
    rmSync(join(server.facade.dir, "store/v1/bad"), { recursive: true })
  })

  test("G11: nobody but the owner reads the store, and nobody writes a blob", () => {
    const root = join(server.facade.dir, "store/v1")
    const entries = readdirSync(root, { recursive: true, withFileTypes: true })
    const modes = (kind: "isDirectory" | "isFile", below = "") =>
      entries
        .filter((entry) => entry[kind]() && entry.parentPath.startsWith(join(root, below)))
        .map((entry) => lstatSync(join(entry.parentPath, entry.name)).mode & 0o777)

    expect(new Set([lstatSync(root).mode & 0o777, ...modes("isDirectory")])).toEqual(new Set([0o700]))
    expect(new Set(modes("isFile", "blobs"))).toEqual(new Set([0o400]))
    expect(new Set(modes("isFile", "facts"))).toEqual(new Set([0o600]))
  })
})

const openFilesOn = (path: string): number =>
  readdirSync("/proc/self/fd").filter((name) => {
    try {
      return readlinkSync(join("/proc/self/fd", name)) === path
    } catch {
      return false // closed meanwhile
    }
  }).length
