import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { head } from "../chaos/raw-http.ts"
import { blobPath, type FaultyFacade, startFaultyFacade } from "../helpers/faulty-facade.ts"
import type { Answer } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, sha256, type TestLayer } from "../helpers/images.ts"
import { peakResidentBytes, residentBytes } from "../helpers/process-memory.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
/** In MiB; all of it takes more than a minute. */
const LARGE = process.env["TEST_SCALE"] === "full" ? 4096 : 1024

interface Endless extends TestLayer {
  /** What it consists of, a MiB. */
  readonly piece: Uint8Array<ArrayBuffer>
  readonly answer: Answer
}

/** A blob that exists nowhere as a whole: one piece again and again, sent as fast as it is taken. */
function repeated(mebibytes: number, seed: number): Endless {
  const piece = opaqueLayer(MIB, seed).bytes
  const hasher = new Bun.CryptoHasher("sha256")
  for (let count = 0; count < mebibytes; count += 1) hasher.update(piece)
  const size = mebibytes * MIB
  const answer: Answer = async (_, connection) => {
    await connection.send(head(200, { "content-length": size }))
    for (let count = 0; count < mebibytes; count += 1) await connection.send(piece)
    return true
  }
  return {
    ...opaqueLayer(0),
    digest: `sha256:${hasher.digest("hex")}`,
    size,
    diffID: sha256(`endless ${seed}`),
    piece,
    answer,
  }
}

/** A client that takes the head of the answer and then nothing more; the kernel's buffers fill, and that is it. */
async function stalledClient(host: string, path: string): Promise<{ end(): void }> {
  const [hostname = "", port = ""] = host.split(":")
  const begun = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (one) => void one.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\n\r\n`),
      data: (one) => {
        one.pause()
        begun.resolve()
      },
      error: () => begun.resolve(),
      close: () => begun.resolve(),
    },
  })
  await begun.promise
  return { end: () => void socket.terminate() }
}

describe("memory", () => {
  const [large, stalled, unread] = [repeated(LARGE, 1), repeated(256, 2), repeated(1024, 3)]
  let server: FaultyFacade
  let idle: number

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers: [large, stalled, unread] }) },
    })
    for (const { digest, answer } of [large, stalled]) server.upstream.plan(digest, answer)
    await server.facade.get("/v2/fixed/a/manifests/latest")
    idle = residentBytes(server.facade.pid)
  })
  afterAll(async () => await server.stop())

  const digestOf = async (blob: TestLayer) => {
    const response = await server.facade.get(blobPath("a", blob.digest))
    const hasher = new Bun.CryptoHasher("sha256")
    for await (const chunk of response.body ?? []) hasher.update(chunk)
    return `sha256:${hasher.digest("hex")}`
  }

  test("D-4: HEAD of 1 GiB tells its length and fetches nothing", async () => {
    const response = await server.facade.get(blobPath("a", unread.digest), { method: "HEAD" })

    expect([response.status, response.headers.get("content-length")]).toEqual([200, String(1024 * MIB)])
    expect(server.upstream.asked(unread.digest)).toEqual([])
  })

  /** How much of a range is what it should be, up to the first byte that is not. */
  async function rightBytes({ digest, piece }: Endless, start: number, end: number): Promise<number> {
    const headers = { range: `bytes=${start}-${end - 1}` }
    const response = await server.facade.get(blobPath("a", digest), { headers })
    const twice = Buffer.concat([piece, piece])
    let offset = start
    for await (const chunk of response.body ?? []) {
      const place = offset % MIB
      if (response.status !== 206 || twice.compare(chunk, 0, chunk.byteLength, place, place + chunk.byteLength) !== 0)
        break
      offset += chunk.byteLength
    }
    return offset - start
  }

  test(`D-3: 20 clients of a cold blob of ${LARGE / 1024} GiB: one transfer, and memory far below what they receive`, async () => {
    const share = Math.ceil(large.size / 20)
    const starts = Array.from({ length: 20 }, (_, client) => client * share)
    const right = await Promise.all(
      starts.map(async (start) => await rightBytes(large, start, Math.min(start + share, large.size))),
    )

    expect(right.reduce((sum, bytes) => sum + bytes, 0)).toBe(LARGE * MIB)
    expect(server.upstream.asked(large.digest).length).toBe(1)
    expect(peakResidentBytes(server.facade.pid)).toBeLessThan(200 * MIB)
  }, 300_000)

  test("F6: 200 clients that stop reading a large blob cost no more than what is on its way to them", async () => {
    const clients = await Promise.all(
      Array.from({ length: 200 }, async () => await stalledClient(server.facade.host, blobPath("a", stalled.digest))),
    )
    // The transfer goes on to its end without them, and another client is not held up
    expect(await digestOf(stalled)).toBe(stalled.digest)
    // What is garbage already does not count, and is gone in a moment
    await until(() => residentBytes(server.facade.pid) - idle < 160 * MIB, 30_000)
    for (const client of clients) client.end()

    expect(server.upstream.asked(stalled.digest).length).toBe(1)
    await until(() => readdirSync(`/proc/${server.facade.pid}/fd`).length < 60)
  }, 60_000)
})

describe("memory where the disk takes nothing", () => {
  const blobs = Array.from({ length: 4 }, (_, seed) => opaqueLayer(8 * MIB - seed, 50 + seed))
  let server: FaultyFacade
  let idle: number

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers: blobs }) },
      registry: { storeMinFreeBytes: Number.MAX_SAFE_INTEGER },
    })
    await server.facade.get("/v2/fixed/a/manifests/latest")
    idle = residentBytes(server.facade.pid)
  })
  afterAll(async () => await server.stop())

  test("F6, G4: clients that stall share what passes through memory, however many they are", async () => {
    const clients = await Promise.all(
      blobs.flatMap(({ digest }) =>
        Array.from({ length: 50 }, async () => await stalledClient(server.facade.host, blobPath("a", digest))),
      ),
    )
    // Each of them with a copy would take 1.6 GB
    expect(peakResidentBytes(server.facade.pid) - idle).toBeLessThan(160 * MIB)
    expect((await server.pull(blobs[0] as TestLayer)).body?.equals(blobs[0]?.bytes as Uint8Array)).toBe(true)
    for (const client of clients) client.end()

    await until(async () => (await server.pull(blobs[1] as TestLayer)).status === 200)
    expect(await server.metric('store_bypass_total{reason="enospc"}')).toBeGreaterThan(0)
  }, 60_000)
})

describe("the event loop", () => {
  const blobs = [repeated(128, 11), repeated(128, 12), repeated(128, 13), repeated(128, 14)]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({ images: { a: await image({ layers: blobs }) } })
    for (const { digest, answer } of blobs) server.upstream.plan(digest, answer)
    await server.facade.get("/v2/fixed/a/manifests/latest")
  })
  afterAll(async () => await server.stop())

  test("F8: four large cold blobs at once hold up no other request for as long as a person notices", async () => {
    let isOver = false
    const pulls = Promise.all(
      blobs.map(async ({ digest }) => {
        const response = await server.facade.get(blobPath("a", digest))
        let size = 0
        for await (const { byteLength } of response.body ?? []) size += byteLength
        return size
      }),
    ).finally(() => {
      isOver = true
    })
    const waits: number[] = []
    while (!isOver) {
      const startedAt = performance.now()
      expect((await server.facade.get("/v2/")).status).toBe(200)
      waits.push(performance.now() - startedAt)
      await Bun.sleep(1)
    }
    const sorted = waits.toSorted((one, other) => one - other)

    expect(await pulls).toEqual(blobs.map(({ size }) => size))
    expect(waits.length).toBeGreaterThan(20)
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(100)
  }, 60_000)
})
