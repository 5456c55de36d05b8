import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { type FaultyFacade, startFaultyFacade } from "../helpers/faulty-facade.ts"
import { status } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const CLIENTS = 500

/** What one try of a client came to: the truth, "come back", or a connection that was not taken. */
type Outcome = "right" | "later" | "refused" | string

async function attempt(server: FaultyFacade, blob: TestLayer): Promise<Outcome> {
  try {
    const {
      status: code,
      headers,
      body,
    } = await server.pull(blob, {
      keepalive: false,
      headers: { connection: "close" },
      signal: AbortSignal.timeout(30_000),
    })
    if (code === 503 && Number(headers.get("retry-after")) >= 1) return "later"
    if (body === null) return "refused"
    return code === 200 && body.equals(blob.bytes) ? "right" : `${code} ${body.toString().slice(0, 200)}`
  } catch (error) {
    return error instanceof Error && "code" in error && /ECONN|closed/.test(`${error.code}`) ? "refused" : String(error)
  }
}

describe.each([64, 128, 256])("a limit of %p open files", (limit) => {
  const layers = [200, 70_000, 300_000, 9 * MIB].flatMap((size, kind) =>
    Array.from({ length: 5 }, (_, index) => opaqueLayer(size + index, kind * 10 + index)),
  )
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers }) },
      wrapper: ["sh", "-c", `ulimit -n ${limit} && exec "$@"`, "sh"],
    })
    await server.facade.get("/v2/fixed/a/manifests/latest")
  })
  afterAll(async () => await server.stop())

  const openFiles = () => readdirSync(`/proc/${server.facade.pid}/fd`).length

  /** Of the facade's, by the upstream's port (proc(5), /proc/net/tcp). */
  const upstreamSockets = () => {
    const port = Number(server.upstream.host.split(":")[1]).toString(16).toUpperCase().padStart(4, "0")
    const lines = readFileSync("/proc/net/tcp", "utf8").split("\n")
    return lines.filter((line) => line.includes(`0100007F:${port} 01`)).length
  }

  test(`F5: ${CLIENTS} clients at once all get the truth in the end, and never anything else than to come back`, async () => {
    const idle = openFiles()
    const seen = new Map<Outcome, number>()
    const pull = async (client: number): Promise<void> => {
      for (let tries = 0; tries < 400; tries += 1) {
        const outcome = await attempt(server, layers[(client + tries) % layers.length] as TestLayer)
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1)
        if (outcome === "right") return
        await Bun.sleep(20 + (client % 10) * 5)
      }
      throw new Error(`Client ${client} got nothing in 400 tries: ${JSON.stringify([...seen])}`)
    }
    await Promise.all(Array.from({ length: CLIENTS }, (_, client) => pull(client)))

    expect([...seen.keys()].filter((outcome) => !["right", "later", "refused"].includes(outcome))).toEqual([])
    expect((await server.facade.get("/v2/")).status).toBe(200)
    for (const blob of layers) expect(await attempt(server, blob)).toBe("right")
    // But for connections to the upstream that are kept for the next transfer
    await until(() => openFiles() - upstreamSockets() <= idle + 10)
  }, 120_000)
})

interface IdleClient {
  readonly code: string
  readonly socket: Socket
}

describe("connections that nobody uses", () => {
  const layers = [opaqueLayer(300_000, 1)]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers }) },
      wrapper: ["sh", "-c", 'ulimit -n 128 && exec "$@"', "sh"],
    })
  })
  afterAll(async () => await server.stop())

  /** A client that asks once, and keeps its connection. */
  async function idleClient(): Promise<IdleClient> {
    const [hostname = "", port = ""] = server.facade.host.split(":")
    const socket = connect(Number(port), hostname)
    const { promise, resolve } = Promise.withResolvers<string>()
    socket.on("data", (data) => resolve(data.toString("latin1", 9, 12)))
    socket.on("error", (error) => resolve(error.message))
    socket.on("close", () => resolve("closed"))
    socket.write("GET /v2/ HTTP/1.1\r\nHost: here\r\n\r\n")
    return { code: await promise, socket }
  }

  test("F5: give way to those that are in use, which is measured and told", async () => {
    const clients: IdleClient[] = []
    for (let client = 0; client < 300; client += 1) {
      clients.push(await idleClient())
      // Faster than the facade looks, nobody can be served
      if (client % 30 === 29) await until(() => readdirSync(`/proc/${server.facade.pid}/fd`).length < 92)
    }

    expect(new Set(clients.map(({ code }) => code))).toEqual(new Set(["200"]))
    expect(await attempt(server, layers[0] as TestLayer)).toBe("right")
    expect(await server.metric("idle_closed_total")).toBeGreaterThan(0)
    expect(server.facade.logs.map(({ message }) => message)).toContain("few files are left, closing idle connections")
    for (const { socket } of clients) socket.destroy()
  }, 60_000)
})

describe("too many requests", () => {
  const layers = [opaqueLayer(100, 1)]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({
      images: { a: await image({ layers }) },
      wrapper: ["sh", "-c", 'ulimit -n 64 && exec "$@"', "sh"],
    })
  })
  afterAll(async () => await server.stop())

  test("F5: are told so with 503 and Retry-After, not with an error of the machine", async () => {
    const gate = Promise.withResolvers<void>()
    server.upstream.always(async (request, connection, content) => {
      await gate.promise
      return await status(404)(request, connection, content)
    })
    const waiting = Array.from({ length: 25 }, async () => await server.facade.get("/v2/fixed/a/manifests/latest"))
    await until(async () => (await server.facade.get("/v2/")).status === 503)
    const { headers } = await server.facade.get("/v2/")
    gate.resolve()
    server.upstream.always(null)
    const codes = (await Promise.all(waiting)).map((answer) => answer.status)

    expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(1)
    expect(codes.filter((code) => ![200, 404, 503].includes(code))).toEqual([])
    expect(codes).toContain(503)
    expect((await server.facade.get("/v2/")).status).toBe(200)
  }, 30_000)
})
