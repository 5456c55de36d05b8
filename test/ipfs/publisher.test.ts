import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { unlinkSync } from "node:fs"
import type { FileBlob } from "../../src/blob/blob.ts"
import { KnownCids } from "../../src/ipfs/known-cids.ts"
import { Kubo } from "../../src/ipfs/kubo.ts"
import { KuboControl } from "../../src/ipfs/kubo-control.ts"
import { Publisher, type PublishPolicy } from "../../src/ipfs/publisher.ts"
import { PROFILES, type Profile } from "../../src/ipfs/unixfs.ts"
import { Breaker } from "../../src/lib/breaker.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { testEgress } from "../helpers/egress.ts"
import { sha256 } from "../helpers/images.ts"
import { type KuboServer, rpcError, startKuboServer } from "../helpers/kubo-server.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

type Limits = Partial<PublishPolicy>

describe("Publisher", () => {
  let server: KuboServer
  let settled: string[]
  let published: string[]
  beforeEach(() => {
    server = startKuboServer()
    settled = []
    published = []
  })
  afterEach(() => server.stop())

  function open(limits: Limits) {
    const url = new URL(server.url)
    const egress = testEgress()
    const metrics = createMetrics()
    const noFacts = { get: async () => null, set: async () => {} }
    const publisher = new Publisher({
      node: new Kubo({ api: url, gateway: url, egress, uploads: egress, control: new KuboControl(url) }),
      index: new KnownCids(noFacts, null),
      profile: PROFILES["unixfs-v1-2025"] as Profile,
      pinPrefix: "rf/test/",
      allowPublicSwarm: false,
      breaker: new Breaker({ ...PRODUCTION.ipfs.breaker, clock: systemClock, onChange: () => {} }),
      policy: { ...PRODUCTION.ipfs.publish, concurrency: 1, ...limits },
      clock: systemClock,
      random: () => 0.5,
      log: silentLogger,
      metrics,
      published: async ({ descriptor }) => void published.push(descriptor.digest),
      settled: (digest) => void settled.push(digest),
    })
    const count = async (result: string) => {
      const { values } = await metrics.ipfsPublished.get()
      return values.find(({ labels }) => labels["result"] === result)?.value ?? 0
    }
    return { publisher, count }
  }

  async function file(text: string): Promise<FileBlob> {
    const path = `${tempDir()}/blob`
    await Bun.write(path, text)
    const descriptor = { digest: parseDigest(sha256(text)), size: text.length, mediaType: "text/plain" }
    return { kind: "file", path, descriptor }
  }

  /** Until it is told to go on, the node takes its time. */
  function hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<null>()
    server.roles.push((_, url) => (url.pathname === "/api/v0/add" ? promise : null))
    return () => resolve(null)
  }

  test.each<[of: string, limits: Limits]>([
    ["entries", { queueEntries: 1 }],
    ["bytes", { queueBytes: 12 }],
  ])("with too many %s waiting, more are dropped, and those in the queue are added", async (_, limits) => {
    const goOn = hold()
    const { count, publisher } = open(limits)
    const files = await Promise.all(["first..", "second", "third."].map(file))
    const [first, second, third] = files.map(({ descriptor }) => String(descriptor.digest))
    for (const one of files.slice(0, 1)) publisher.offer(one)
    await until(() => server.asked("/api/v0/add") === 1)
    for (const one of files.slice(1)) publisher.offer(one)
    const dropped = limits.queueEntries === undefined ? [second, third] : [third]
    expect(settled).toEqual(dropped as string[])
    expect(await count("dropped")).toBe(dropped.length)

    goOn()
    await until(() => settled.length === 3)
    expect(published).toEqual([first, second].slice(0, 3 - dropped.length) as string[])
  })

  test("what is being added already is not added twice", async () => {
    const goOn = hold()
    const { publisher } = open({})
    const one = await file("once")
    publisher.offer(one)
    publisher.offer(one)
    expect(settled).toHaveLength(1)

    goOn()
    await until(() => settled.length === 2)
    expect(server.asked("/api/v0/add")).toBe(1)
  })

  const fast = { baseMs: 1, capMs: 1 }

  /** The next uploads are refused, so many. */
  function refuse(times: number): void {
    let left = times
    server.roles.push((_, url) => {
      if (url.pathname !== "/api/v0/add" || left === 0) return null
      left -= 1
      return rpcError("no space left")
    })
  }

  test("an upload that fails is tried again, and nobody waits for that", async () => {
    refuse(2)
    const { count, publisher } = open({ retry: fast })
    const one = await file("again")
    publisher.offer(one)

    await until(() => published.length === 1)
    expect([await count("error"), await count("added"), await count("dropped")]).toEqual([2, 1, 0])
    expect(settled).toEqual([one.descriptor.digest])
  })

  test("an upload that fails again and again is given up, and its place in the queue is free", async () => {
    refuse(3)
    const { count, publisher } = open({ retry: fast, attempts: 3, queueEntries: 1 })
    publisher.offer(await file("never"))
    await until(async () => (await count("dropped")) === 1)

    publisher.offer(await file("next"))
    await until(() => published.length === 1)
    expect(server.asked("/api/v0/add")).toBe(4)
  })

  test("what waits for another attempt takes a place in the queue", async () => {
    refuse(1)
    const { count, publisher } = open({ retry: { baseMs: 60_000, capMs: 60_000 }, queueEntries: 1 })
    publisher.offer(await file("first"))
    await until(() => settled.length === 1)
    publisher.offer(await file("second"))

    expect([await count("error"), await count("dropped")]).toEqual([1, 1])
    publisher.close()
  })

  test("what a node that looks public does not get is not tried again", async () => {
    server.roles.push((_, url) => (url.pathname === "/api/v0/config/show" ? Response.json({ Bootstrap: 3 }) : null))
    const { count, publisher } = open({ retry: fast })
    publisher.offer(await file("private"))
    await until(async () => (await count("public")) === 1)
    publisher.offer(await file("private, too"))

    await until(async () => (await count("public")) === 2)
  })

  test("what the store has removed meanwhile is no failure of the node", async () => {
    const { count, publisher } = open({})
    for (let number = 0; number < 10; number += 1) {
      const one = await file(`gone ${number}`)
      unlinkSync(one.path)
      publisher.offer(one)
    }
    publisher.offer(await file("here"))

    await until(() => published.length === 1)
    expect(await count("gone")).toBe(10)
  })

  test("at the end, what is being added is given up, and nothing more is begun", async () => {
    hold()
    const { publisher } = open({})
    for (const text of ["one", "two"]) publisher.offer(await file(text))
    await until(() => server.asked("/api/v0/add") === 1)
    publisher.close()
    publisher.offer(await file("three"))

    await until(() => settled.length === 2)
    expect([published.length, server.asked("/api/v0/add")]).toEqual([0, 1])
  })
})
