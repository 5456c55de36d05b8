import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { PRODUCTION, type Tuning } from "../../src/tuning.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { type Content, image, layer, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { cidOf, type KuboRole, type KuboServer, startKuboServer } from "../helpers/kubo-server.ts"
import { needs } from "../helpers/programs.ts"
import { type RedisServer, startRedis } from "../helpers/redis-server.ts"
import { noise, pullBlob } from "../helpers/sharing.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

/** More than what is verified before its first byte leaves. */
const BIG = 9 * 1024 * 1024
/** What a node's trouble may cost a pull, with reserve for a machine that has other work, too. */
const BOUND_MS = 3500

/** The compiled program, unless a test has to end it or to change its numbers. */
type How = Pick<FacadeOptions, "mode" | "tuning" | "registry">
/** Holds nothing back that comes from the node. */
const HASTY: Tuning = { ...PRODUCTION, downloads: { ...PRODUCTION.downloads, hintHoldMs: 0 } }

/** Waits a moment for what others may have, and tells the next client anew what could not be had. */
const HURRIED: Tuning = {
  ...IMPATIENT,
  downloads: { ...IMPATIENT.downloads, failureMs: 0 },
  ipfs: { ...PRODUCTION.ipfs, source: { ...PRODUCTION.ipfs.source, swarmMs: 200 } },
}

/** Bytes that are sent as they are pulled, without a length. */
const body = (pull: (send: (bytes: Uint8Array) => void, end: () => void) => Promise<void> | void): Response =>
  new Response(
    new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await pull(
          (bytes) => controller.enqueue(bytes),
          () => controller.close(),
        )
      },
    }),
  )

const onContent =
  (answer: (request: Request) => Response | Promise<Response>): KuboRole =>
  async (request, url) =>
    request.method === "GET" && url.pathname.startsWith("/ipfs/") ? await answer(request) : null

const notHere: KuboRole = (request) => (request.method === "HEAD" ? new Response(null, { status: 412 }) : null)

const required = needs("redis-server")
describe.skipIf(required.isMissing)(`an IPFS node that misbehaves${required.note}`, () => {
  let redis: RedisServer
  let upstream: UpstreamServer
  let number = 0
  let kubo: KuboServer
  let metricsPort = 0
  const running: RunningFacade[] = []

  beforeAll(async () => {
    redis = await startRedis()
    upstream = startUpstream()
  })
  beforeEach(async () => {
    for (const facade of running.splice(0)) await facade.stop()
    kubo?.stop()
    kubo = startKuboServer()
    upstream.roles.length = 0
  })
  afterAll(async () => {
    for (const facade of running) await facade.stop()
    kubo?.stop()
    upstream?.stop()
    await redis?.stop()
  })

  async function newImage(count = 1): Promise<{ readonly reference: string; readonly image: TestImage }> {
    number += 1
    const layers = Array.from({ length: count }, (_, index) =>
      layer({ big: noise(number * 100 + index, BIG) }, "plain"),
    )
    const sample = await image({ layers: await Promise.all(layers) })
    upstream.add(`lab/hostile${number}`, "1", sample)
    return { reference: `${upstream.host}/lab/hostile${number}:1`, image: sample }
  }

  async function start(reference: string, { registry, ...how }: How = {}): Promise<RunningFacade> {
    metricsPort = freePort()
    const facade = await startFacade({
      mode: "binary",
      ...how,
      specs: { one: { baseRef: reference } },
      registry: { redis: { enabled: true, singleHostAddr: redis.addr }, ipfs: kubo.config, ...registry },
      config: { prometheusAddr: `127.0.0.1:${metricsPort}` },
    })
    running.push(facade)
    await facade.get("/v2/fixed/one/manifests/latest")
    return facade
  }

  /** A facade that is told that the node has all layers, which it has. */
  async function shared(
    count = 1,
    how: How = {},
  ): Promise<{ readonly facade: RunningFacade; readonly layers: readonly Content[] }> {
    const { image: sample, reference } = await newImage(count)
    const facade = await start(reference, how)
    for (const { bytes, digest } of sample.layers) await redis.cli("HSET", `rf:1:{${digest}}:b`, "c", kubo.put(bytes))
    return { facade, layers: sample.layers }
  }

  const fetches = ({ digest }: Content) =>
    upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(`/blobs/${digest}`)).length

  const only = <Item>([item]: readonly Item[]): Item => {
    if (item === undefined) throw new Error("There is none")
    return item
  }

  const metrics = async (): Promise<string> => await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()

  test("as long as it behaves, blobs come from it", async () => {
    const { facade, layers } = await shared()

    await pullBlob(facade, only(layers).digest)
    expect(fetches(only(layers))).toBe(0)
  })

  test.each<[what: string, role: (blob: Content) => KuboRole]>([
    ["other content of the same length", ({ size }) => onContent(() => new Response(new Uint8Array(size)))],
    ["content that is too long, without a length", ({ bytes }) => onContent(() => chunked([bytes, bytes]))],
    [
      "content that is too short, without a length",
      ({ bytes }) => onContent(() => chunked([bytes.slice(0, 5_000_000)])),
    ],
    ["content that never ends", () => onContent(() => body((send) => send(new Uint8Array(1 << 20))))],
    ["a length that is not the blob's", () => onContent(() => new Response("short"))],
    ["nothing after its headers", () => onContent(() => body(() => new Promise<void>(() => {})))],
    ["nothing at all", () => onContent(() => new Promise<Response>(() => {}))],
    ["an empty body", () => onContent(() => chunked([]))],
    ["a drop now and then", ({ bytes }) => onContent(() => body(trickle(bytes)))],
    [
      "half of it, then nothing",
      ({ bytes }) =>
        onContent((request) => (request.headers.has("range") ? new Response(null, { status: 504 }) : halfOf(bytes))),
    ],
    ["errors", () => onContent(() => new Response("merkledag: not found", { status: 500 }))],
    [
      "compressed content",
      ({ bytes }) => onContent(() => new Response(Bun.gzipSync(bytes), { headers: { "content-encoding": "gzip" } })),
    ],
    ["redirects to elsewhere", () => onContent(() => Response.redirect("http://169.254.169.254/", 302))],
  ])("H5, H6: it sends %s", async (_, role) => {
    const { facade, layers } = await shared()
    const blob = only(layers)
    kubo.roles.push(role(blob))

    expect(await pullBlob(facade, blob.digest)).toBeLessThan(BOUND_MS)
    expect(fetches(blob)).toBe(1)
  })

  test("wrong content is forgotten, and not asked for again", async () => {
    const { facade, layers } = await shared()
    const blob = only(layers)
    const wrong = kubo.put(new Uint8Array(blob.size))
    await redis.cli("HSET", `rf:1:{${blob.digest}}:b`, "c", wrong)

    await pullBlob(facade, blob.digest)
    await until(async () => (await redis.cli("HGET", `rf:1:{${blob.digest}}:b`, "c")) !== wrong)
  })

  test("wrong content that comes so slowly that it was passed on is broken off, forgotten, and right when asked again", async () => {
    const { facade, layers } = await shared(1, { mode: "source", tuning: HASTY })
    const blob = only(layers)
    const wrong = kubo.put(new Uint8Array(blob.size))
    await redis.cli("HSET", `rf:1:{${blob.digest}}:b`, "c", wrong)

    expect(await pullBlob(facade, blob.digest).catch(() => "broken off")).toBe("broken off")
    await pullBlob(facade, blob.digest)
    expect(fetches(blob)).toBe(1)
    await until(async () => (await redis.cli("HGET", `rf:1:{${blob.digest}}:b`, "c")) !== wrong)
  })

  test("content of another length is forgotten before a byte of it is read", async () => {
    const { facade, layers } = await shared()
    const blob = only(layers)
    const wrong = kubo.put(new Uint8Array(blob.size + 1))
    await redis.cli("HSET", `rf:1:{${blob.digest}}:b`, "c", wrong)
    kubo.roles.push((_, url) => (url.pathname === "/api/v0/add" ? new Response("full", { status: 500 }) : null))

    await pullBlob(facade, blob.digest)
    await until(async () => (await redis.cli("EXISTS", `rf:1:{${blob.digest}}:b`)) === "0")
  })

  test("H6: a node that hangs while it reads costs a pull of many layers its time once", async () => {
    const { facade, layers } = await shared(8)
    kubo.roles.push(onContent(() => new Promise<Response>(() => {})))
    const undisturbed = 8 * 150

    let tookMs = 0
    for (const { digest } of layers) tookMs += await pullBlob(facade, digest)

    expect(kubo.seen.filter(({ method }) => method === "GET").length).toBeLessThan(layers.length)
    expect(tookMs).toBeLessThan(BOUND_MS + undisturbed)
  })

  test("what it cannot find in time is asked for again as long as nobody else has it", async () => {
    const { facade, layers } = await shared()
    const blob = only(layers)
    let asked = 0
    kubo.roles.push(
      notHere,
      onContent(() => {
        asked += 1
        return asked === 1 ? new Promise<Response>(() => {}) : new Response(blob.bytes)
      }),
    )
    upstream.roles.push(() => new Response("down", { status: 503 }))

    await pullBlob(facade, blob.digest)
    expect(asked).toBe(2)
  })

  test("what nobody has is asked for twice, and what the upstream says is told", async () => {
    const { facade, layers } = await shared(1, { mode: "source", tuning: HURRIED })
    const { digest } = only(layers)
    kubo.roles.push(
      notHere,
      onContent(() => new Promise<Response>(() => {})),
    )
    upstream.roles.push(() => new Response("gone", { status: 404 }))

    const { status } = await facade.get(`/v2/fixed/one/blobs/${digest}`)
    expect([status, kubo.seen.filter(({ method }) => method === "GET").length]).toEqual([404, 2])
  })

  test("one blob that it cannot find is no reason to leave it alone for others", async () => {
    const { facade, layers } = await shared(2, { mode: "source", tuning: HURRIED })
    const [lost, other] = layers
    if (lost === undefined || other === undefined) throw new Error("There are two")
    const cid = cidOf(lost.bytes)
    kubo.roles.push(notHere, (request, url) =>
      request.method === "GET" && url.pathname.endsWith(cid) ? new Promise<Response>(() => {}) : null,
    )
    upstream.roles.push(() => new Response("gone", { status: 404 }))
    for (let pulls = 0; pulls < 4; pulls += 1) {
      expect((await facade.get(`/v2/fixed/one/blobs/${lost.digest}`)).status).toBe(404)
    }

    await pullBlob(facade, other.digest)
  })

  test("clients that leave while it is asked are no reason to leave it alone", async () => {
    const { facade, layers } = await shared(6)
    kubo.roles.push(async (request) => {
      if (request.method === "HEAD") await Bun.sleep(100)
      return null
    })
    for (const { digest } of layers.slice(1)) {
      const leaving = new AbortController()
      const left = facade.get(`/v2/fixed/one/blobs/${digest}`, { signal: leaving.signal }).catch(() => null)
      await until(() => kubo.seen.some(({ method }) => method === "HEAD"))
      kubo.seen.length = 0
      leaving.abort()
      await left
    }

    await pullBlob(facade, only(layers).digest)
    expect(fetches(only(layers))).toBe(0)
  })

  test("a client that leaves in the middle of a blob leaves nothing behind at the node", async () => {
    const { facade, layers } = await shared(1, { mode: "source" })
    let isCancelled = false
    const slow = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        await Bun.sleep(5)
        controller.enqueue(only(layers).bytes.slice(0, 16_384))
      },
      cancel: () => {
        isCancelled = true
      },
    })
    kubo.roles.push(onContent(() => new Response(slow)))
    const leaving = new AbortController()
    const response = await facade.get(`/v2/fixed/one/blobs/${only(layers).digest}`, { signal: leaving.signal })
    await response.body?.getReader().read()
    leaving.abort()

    await facade.stop()
    await until(() => isCancelled)
  })

  test("what the hedged start has begun is left when the node is faster after all", async () => {
    const { facade, layers } = await shared()
    const blob = only(layers)
    let isLeft = false
    upstream.roles.push((request, url) => {
      if (!url.pathname.endsWith(`/blobs/${blob.digest}`)) return null
      request.signal.addEventListener("abort", () => {
        isLeft = true
      })
      return new Promise<Response>(() => {})
    })
    kubo.roles.push(
      onContent(async () => {
        await until(() => fetches(blob) > 0)
        return new Response(blob.bytes)
      }),
    )

    await pullBlob(facade, blob.digest)
    await until(() => isLeft)
  })

  describe("when something is added", () => {
    async function pulled(
      role: KuboRole,
      how: How = {},
    ): Promise<{ readonly facade: RunningFacade; readonly blob: Content }> {
      const { image: sample, reference } = await newImage()
      kubo.roles.push(role)
      const facade = await start(reference, how)
      await pullBlob(facade, only(sample.layers).digest)
      return { facade, blob: only(sample.layers) }
    }

    const onAdd =
      (answer: (request: Request) => Response | Promise<Response>): KuboRole =>
      async (request, url) =>
        url.pathname === "/api/v0/add" ? await answer(request) : null

    const taken = async (request: Request) => await request.arrayBuffer()

    test.each<[what: string, role: KuboRole, result: string]>([
      [
        "another CID",
        onAdd(async (request) => {
          await taken(request)
          return Response.json({ Name: "blob", Hash: cidOf(new Uint8Array(7)), Size: "7" })
        }),
        "mismatch",
      ],
      [
        "an error after the CID",
        onAdd(async (request) => {
          await taken(request)
          const root = JSON.stringify({ Name: "blob", Hash: cidOf(new Uint8Array(7)), Size: "7" })
          return new Response(`${root}\n${JSON.stringify({ Message: "no space left", Code: 0, Type: "error" })}\n`)
        }),
        "error",
      ],
      ["no CID", onAdd(async (request) => new Response(await taken(request).then(() => "{}"))), "error"],
      ["an answer without end", onAdd(() => body((send) => send(new Uint8Array(1 << 16).fill(32)))), "error"],
      ["an error", onAdd(() => new Response('{"Message":"no space left"}', { status: 500 })), "error"],
      [
        "a CID, and keeps nothing",
        (_, url) =>
          url.pathname === "/api/v0/pin/ls" ? Response.json({ Message: "it is not pinned" }, { status: 500 }) : null,
        "unpinned",
      ],
      [
        "a CID, but does not say whether it keeps it",
        (_, url) => (url.pathname === "/api/v0/pin/ls" ? new Response("<html>", { status: 502 }) : null),
        "error",
      ],
      [
        "a configuration that is none",
        (_, url) => (url.pathname === "/api/v0/config/show" ? Response.json({ Bootstrap: 3 }) : null),
        "public",
      ],
    ])("it answers with %s: nothing is entered into the index", async (_, role, result) => {
      const { blob } = await pulled(role)

      await until(async () => new RegExp(`ipfs_published_total{result="${result}"} [1-9]`).test(await metrics()))
      expect(await redis.cli("EXISTS", `rf:1:{${blob.digest}}:b`, blob.digest)).toBe("0")
    })

    test("it takes no more: blobs that it has are still read from it", async () => {
      const { facade, layers } = await shared(1)
      kubo.roles.push(onAdd(() => new Response('{"Message":"no space left"}', { status: 500 })))
      const { image: other, reference } = await newImage(6)
      facade.writeSpecs({
        one: { baseRef: reference },
        two: { baseRef: `${upstream.host}/lab/hostile${number - 1}:1` },
      })
      await until(async () => (await facade.get("/v2/fixed/two/manifests/latest")).status === 200)
      for (const { digest } of other.layers) await pullBlob(facade, digest)
      await until(async () => /ipfs_published_total{result="(?:error|skipped)"} [2-9]/.test(await metrics()))

      const response = await facade.get(`/v2/fixed/two/blobs/${only(layers).digest}`)
      expect((await response.arrayBuffer()).byteLength).toBe(only(layers).size)
      expect(fetches(only(layers))).toBe(0)
    })

    test("it never answers: the process still ends, and pulls go on", async () => {
      const { facade } = await pulled(
        onAdd(() => new Promise<Response>(() => {})),
        { mode: "source" },
      )
      await until(() => kubo.asked("/api/v0/add") > 0)

      const stopped = facade.stop()
      await stopped
    })
  })

  test("H4: random values of all types in all keys of Redis cost a little time, and nothing else", async () => {
    const { facade: first, layers } = await shared(4)
    for (const { digest } of layers) await pullBlob(first, digest)
    await first.stop()
    const reference = `${upstream.host}/lab/hostile${number}:1`
    const leases = layers.map(({ digest }) => `rf:1:{${digest}}:l`)
    const originals = layers.flatMap(({ digest }) => [digest, `mtype:${digest}`])
    const keys = new Set([...(await redis.cli("KEYS", "*")).split("\n"), ...leases, ...originals])
    const values = [
      ["SET", "no such thing"],
      ["RPUSH", "a", "list"],
      ["HSET", "c", "../../etc/passwd"],
      ["HSET", "c", "x".repeat(100_000)],
      ["SET", cidOf(new Uint8Array(5))],
      ["SET", '{"Digest":"x","Size":-1e308,"Labels":7}'],
    ]
    for (const [index, key] of [...keys].entries()) {
      const [command = "", ...value] = values[index % values.length] ?? []
      await redis.cli("DEL", key)
      await redis.cli(command, key, ...value)
    }

    const facade = await start(reference)
    let tookMs = 0
    for (const { digest } of layers) tookMs += await pullBlob(facade, digest)
    expect(tookMs).toBeLessThan(BOUND_MS)
    await redis.cli("FLUSHALL")
  })

  test("H4: a turn that nobody ever gives back is nobody's", async () => {
    const { image: sample, reference } = await newImage()
    const blob = only(sample.layers)
    await redis.cli("SET", `rf:1:{${blob.digest}}:l`, crypto.randomUUID())

    expect(await pullBlob(await start(reference), blob.digest)).toBeLessThan(BOUND_MS)
  })

  test("a user and password in its address are sent as such, and shown nowhere", async () => {
    const { image: sample, reference } = await newImage()
    const ipfsAddr = kubo.url.replace("//", "//facade:se%3Acret@")
    const facade = await start(reference, { registry: { ipfs: { ...kubo.config, ipfsAddr } } })
    await pullBlob(facade, only(sample.layers).digest)
    await until(() => kubo.pins.size > 0)

    const rpc = kubo.seen.filter(({ path }) => path.startsWith("/api/"))
    const wanted = `Basic ${Buffer.from("facade:se:cret").toString("base64")}`
    expect(new Set(rpc.map(({ headers }) => headers.get("authorization")))).toEqual(new Set([wanted]))
    expect(JSON.stringify(facade.logs)).not.toContain("cret")
  })
})

const chunked = (parts: readonly Uint8Array[]): Response => {
  const left = [...parts]
  return body((send, end) => {
    const part = left.shift()
    if (part === undefined) end()
    else send(part)
  })
}

const trickle = (bytes: Uint8Array) => {
  let sent = 0
  return async (send: (bytes: Uint8Array) => void) => {
    await Bun.sleep(200)
    send(bytes.slice(sent, sent + 10))
    sent += 10
  }
}

const halfOf = (bytes: Uint8Array): Response => {
  const left = [bytes.slice(0, bytes.byteLength / 2)]
  return body(async (send) => {
    const part = left.shift()
    if (part === undefined) await new Promise<void>(() => {})
    else send(part)
  })
}
