import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { head } from "../chaos/raw-http.ts"
import { blobPath, type FaultyFacade, startFaultyFacade, storedDigests } from "../helpers/faulty-facade.ts"
import { type Answer, status } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, sha256, type TestLayer } from "../helpers/images.ts"
import { peakResidentBytes, residentBytes } from "../helpers/process-memory.ts"
import { pullMany } from "../helpers/pull-many.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024

/** Holds the body back at a place until it is told to go on. */
function gated(place: number): { readonly answer: Answer; open(): void; readonly reached: Promise<void> } {
  const reached = Promise.withResolvers<void>()
  let isOpen = false
  return {
    open: () => {
      isOpen = true
    },
    reached: reached.promise,
    answer: async ({ headers }, connection, { bytes, size }) => {
      const start = Number(/^bytes=(\d+)-$/.exec(headers.get("range") ?? "")?.[1] ?? 0)
      const range = start === 0 ? {} : { "content-range": `bytes ${start}-${size - 1}/${size}` }
      await connection.send(head(start === 0 ? 200 : 206, { "content-length": size - start, ...range }))
      const stop = Math.max(start, Math.floor(place * size))
      await connection.send(bytes.subarray(start, stop))
      reached.resolve()
      while (!connection.isGone && !isOpen) await Bun.sleep(5)
      if (connection.isGone) return false
      await connection.send(bytes.subarray(stop))
      return true
    },
  }
}

/** The digest of what a client receives, without keeping it. */
async function pulledDigest({ facade }: FaultyFacade, path: string): Promise<string> {
  const response = await facade.get(path)
  const hasher = new Bun.CryptoHasher("sha256")
  for await (const chunk of response.body ?? []) hasher.update(chunk)
  return `${response.status} sha256:${hasher.digest("hex")}`
}

describe("many clients of one cold blob", () => {
  const CLIENTS = 1000
  const [wanted, failing, left, abandoned, finished, ranged] = [
    opaqueLayer(9 * MIB, 1),
    opaqueLayer(100_000, 2),
    opaqueLayer(9 * MIB, 3),
    opaqueLayer(100 * MIB, 4),
    opaqueLayer(9 * MIB, 5),
    opaqueLayer(32 * MIB, 6),
  ]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers: [wanted, failing, left, abandoned, finished, ranged] }) },
    })
    await server.facade.get("/v2/fixed/a/manifests/latest")
  })
  afterAll(async () => await server.stop())

  test(`F1: ${CLIENTS} at once cause one request upstream and 1.00 x its bytes, and bounded memory`, async () => {
    const idle = residentBytes(server.facade.pid)
    const gate = gated(0.01)
    server.upstream.plan(wanted.digest, gate.answer)
    const before = await server.metric("coalesced_total")
    const pulls = pullMany(`${server.facade.url}${blobPath("a", wanted.digest)}`, CLIENTS, 20)
    await until(async () => (await server.metric("coalesced_total")) >= before + CLIENTS - 1, 60_000)
    gate.open()
    const { outcomes } = await pulls

    expect(outcomes).toEqual({ [`200 ${wanted.digest}`]: CLIENTS / 20, [`200 ${9 * MIB} bytes`]: (CLIENTS / 20) * 19 })
    expect(server.upstream.asked(wanted.digest).length).toBe(1)
    expect(peakResidentBytes(server.facade.pid) - idle).toBeLessThan(256 * MIB)
  }, 300_000)

  test("F2: all who wait for a blob that fails are told the same, the upstream is asked no more often for it", async () => {
    server.upstream.plan(failing.digest, ...Array<Answer>(100).fill(status(500)))
    const pulls = await Promise.all(Array.from({ length: 200 }, async () => await server.pull(failing)))
    const asked = server.upstream.asked(failing.digest).length

    expect(new Set(pulls.map(({ status: code, headers }) => `${code} ${headers.has("retry-after")}`))).toEqual(
      new Set(["503 true"]),
    )
    expect(new Set(pulls.map(({ body }) => body?.toString())).size).toBe(1)
    expect(asked).toBeLessThanOrEqual(6)
    server.upstream.plan(failing.digest)
    await until(async () => (await server.pull(failing)).body?.equals(failing.bytes) === true)
  }, 60_000)

  test("F3: the first one who leaves, and some others, take nothing from the rest", async () => {
    const gate = gated(0.3)
    server.upstream.plan(left.digest, gate.answer)
    const leaver = new AbortController()
    const first = server.facade.get(blobPath("a", left.digest), { signal: leaver.signal })
    const stay = Array.from({ length: 10 }, async () => await pulledDigest(server, blobPath("a", left.digest)))
    const leavers = Array.from({ length: 10 }, async () => {
      const response = await server.facade.get(blobPath("a", left.digest))
      await response.body?.getReader().cancel()
    })
    await (await first).body?.getReader().read()
    leaver.abort()
    await Promise.all(leavers)
    gate.open()

    expect(new Set(await Promise.all(stay))).toEqual(new Set([`200 ${left.digest}`]))
    expect(server.upstream.asked(left.digest).length).toBe(1)
  }, 30_000)

  test("F3: a transfer that nobody reads any more goes on when little is missing", async () => {
    const gate = gated(0.5)
    server.upstream.plan(finished.digest, gate.answer)
    const response = await server.facade.get(blobPath("a", finished.digest))
    await gate.reached
    await response.body?.getReader().cancel()
    gate.open()

    await until(() => storedDigests(server.facade.dir).has(finished.digest))
    expect(server.upstream.asked(finished.digest).length).toBe(1)
  }, 30_000)

  test("F3: and stops when much is missing and nobody has come back for some seconds", async () => {
    const gate = gated(0.01)
    let gone = false
    server.upstream.plan(abandoned.digest, async (request, connection, content) => {
      await gate.answer(request, connection, content)
      gone = connection.isGone
      return false
    })
    const response = await server.facade.get(blobPath("a", abandoned.digest))
    await gate.reached
    await response.body?.getReader().cancel()

    await until(() => gone, 15_000)
    await until(async () => (await server.metric("inflight_downloads")) === 0)
    expect(storedDigests(server.facade.dir).has(abandoned.digest)).toBe(false)
  }, 30_000)

  test("F9: eight ranges side by side, as containerd asks, are one transfer", async () => {
    const part = ranged.size / 8
    const parts = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const range = `bytes=${index * part}-${(index + 1) * part - 1}`
        return await server.pull(ranged, { headers: { range } })
      }),
    )

    expect(parts.map(({ status: code }) => code)).toEqual(Array(8).fill(206))
    expect(sha256(Buffer.concat(parts.map(({ body }) => body ?? Buffer.alloc(0))))).toBe(ranged.digest)
    expect(server.upstream.asked(ranged.digest).length).toBe(1)
    expect(server.upstream.sent(ranged.digest)).toBe(ranged.size)
  }, 30_000)

  test("F9: many parts in one Range are answered with all of it, once", async () => {
    const range = `bytes=${Array.from({ length: 1000 }, (_, index) => `${index}-${index}`).join()}`
    const { status: code, body } = await server.pull(failing, { headers: { range } })

    expect([code, body?.byteLength]).toEqual([200, failing.size])
  })

  test("F9: thousands of ranges of one blob on few connections cost no request upstream", async () => {
    const asked = server.upstream.asked(ranged.digest).length
    const clients = Array.from({ length: 16 }, async (_, client) => {
      for (let count = 0; count < 125; count += 1) {
        const at = client * 1000 + count
        const { body } = await server.pull(ranged, { headers: { range: `bytes=${at}-${at}` } })
        expect(body?.[0]).toBe(ranged.bytes[at] ?? -1)
      }
    })
    await Promise.all(clients)

    expect(server.upstream.asked(ranged.digest).length).toBe(asked)
  }, 30_000)
})

describe("many cold blobs at once", () => {
  const BLOBS = 600
  const layers: readonly TestLayer[] = Array.from({ length: BLOBS }, (_, index) => opaqueLayer(3000, index))
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers }) },
      wrapper: ["sh", "-c", 'ulimit -n 1024 && exec "$@"', "sh"],
    })
    await server.facade.get("/v2/fixed/a/manifests/latest")
  })
  afterAll(async () => await server.stop())

  test(`F4, F11: ${BLOBS} after a start are all served or told to come back; the upstream never sees many at once`, async () => {
    let live = 0
    let peak = 0
    server.upstream.always(async (_, connection, { bytes, size }) => {
      live += 1
      peak = Math.max(peak, live)
      await Bun.sleep(5) // an upstream that answers at once would never show how many it is asked for
      live -= 1
      await connection.send(head(200, { "content-length": size }))
      await connection.send(bytes)
      return true
    })
    const told: (string | null)[] = []
    const pull = async (blob: TestLayer): Promise<void> => {
      const { status: code, headers, body } = await server.pull(blob)
      if (code === 200) return expect(body?.equals(blob.bytes)).toBe(true)
      expect(code).toBe(503)
      told.push(headers.get("retry-after"))
      await Bun.sleep(20)
      await pull(blob)
    }
    await Promise.all(layers.map(pull))

    // The ramp begins with 32; and no host ever sees more than 64
    expect(peak).toBeLessThanOrEqual(64)
    expect(peak).toBeGreaterThan(8)
    expect(told.every((seconds) => Number(seconds) >= 1)).toBe(true)
    expect(layers.every(({ digest }) => server.upstream.asked(digest).length === 1)).toBe(true)
  }, 60_000)
})
