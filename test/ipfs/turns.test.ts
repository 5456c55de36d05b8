import { beforeEach, describe, expect, test } from "bun:test"
import type { BlobSource, ReadyBlob } from "../../src/blob/blob.ts"
import type { Leases } from "../../src/ipfs/leases.ts"
import { Turns } from "../../src/ipfs/turns.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { createFakeClock, type FakeClock } from "../helpers/fake-clock.ts"
import { sha256 } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { until } from "../helpers/until.ts"

const { baseMs, waitMs, hasteMs, renewMs } = PRODUCTION.ipfs.turns
const descriptor = { digest: parseDigest(sha256("a blob")), size: 6, mediaType: "text/plain" }
const large = { ...descriptor, size: 1e9 }
const found: ReadyBlob = { kind: "bytes", descriptor, bytes: new TextEncoder().encode("a blob") }

describe("Turns", () => {
  let clock: FakeClock
  let turn: "ours" | "others" | "unknown"
  let shared: ReadyBlob | null
  let calls: string[]
  let turns: Turns
  let source: BlobSource

  beforeEach(() => {
    clock = createFakeClock()
    turn = "others"
    shared = null
    calls = []
    const leases: Leases = {
      take: async () => turn,
      renew: async () => void calls.push("renew"),
      release: async () => void calls.push("release"),
    }
    turns = new Turns({ leases, policy: PRODUCTION.ipfs.turns, clock, metrics: createMetrics() })
    source = turns.before({ name: "ipfs", origin: "ipfs", find: async () => shared })
  })

  /** Lets time pass as long as somebody waits for it. Gives how much has. */
  async function settled<Result>(
    result: Promise<Result>,
  ): Promise<{ readonly result: Result; readonly tookMs: number }> {
    const since = clock.now()
    let isOver = false
    void result.finally(() => {
      isOver = true
    })
    while (!isOver) {
      await until(() => isOver || clock.sleeping.length > 0)
      if (!isOver) clock.advance(50)
    }
    return { result: await result, tookMs: clock.now() - since }
  }

  test("a blob that is shared while its turn is another's is read from there", async () => {
    const finding = source.find(descriptor, never)
    await until(() => clock.sleeping.length > 0)
    shared = found

    expect((await settled(finding)).result).toBe(found)
  })

  test("nobody waits longer than a while, and after waiting in vain not at all for another", async () => {
    const first = await settled(source.find(large, never))
    const second = await settled(source.find(large, never))
    expect([first.result, second.result]).toEqual([null, null])
    expect(first.tookMs).toBeLessThan(waitMs + 1500)
    expect(first.tookMs).toBeGreaterThanOrEqual(waitMs)
    expect(second.tookMs).toBe(0)

    clock.advance(hasteMs)
    expect((await settled(source.find(large, never))).tookMs).toBeGreaterThanOrEqual(waitMs)
  })

  test("a small blob is waited for only a little, as another would have fetched it by then", async () => {
    const { tookMs } = await settled(source.find(descriptor, never))

    expect(tookMs).toBeGreaterThanOrEqual(baseMs)
    expect(tookMs).toBeLessThan(baseMs + 1500)
  })

  test("without an answer about leases nobody waits", async () => {
    turn = "unknown"

    expect(await settled(source.find(descriptor, never))).toEqual({ result: null, tookMs: 0 })
    expect(calls).toEqual([])
  })

  test("whose turn it is keeps it until the blob is shared, and gives it back once", async () => {
    turn = "ours"
    expect(await source.find(descriptor, never)).toBeNull()
    await until(() => clock.sleeping.length === 1)
    clock.advance(renewMs)
    await until(() => calls.length === 1)

    turns.over(descriptor.digest)
    turns.over(descriptor.digest)
    expect(calls).toEqual(["renew", "release"])
    await until(() => clock.sleeping.length === 0)
  })

  test("a turn that comes when the blob is shared already is given back", async () => {
    const finding = source.find(descriptor, never)
    await until(() => clock.sleeping.length > 0)
    turn = "ours"
    shared = found

    expect((await settled(finding)).result).toBe(found)
  })

  test("who leaves stops waiting", async () => {
    const leaving = new AbortController()
    const finding = source.find(descriptor, leaving.signal).catch((error) => error.message)
    await until(() => clock.sleeping.length > 0)
    leaving.abort(new Error("left"))

    expect(await finding).toBe("left")
    expect(clock.sleeping).toEqual([])
  })

  test("at the end, all turns are given back", async () => {
    turn = "ours"
    await source.find(descriptor, never)
    turns.close()

    expect(calls).toEqual(["release"])
  })
})
