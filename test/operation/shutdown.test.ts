import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { sha256 } from "../helpers/images.ts"
import { hasLogged, holdTransfer } from "../helpers/operation.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const DRAINING = "accepting no new connections, waiting for running transfers"
const SPECS = { hello: { baseRef: "scratch", layers: [{ files: { "/a": "b" } }] } }

const running: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop()
})

async function start(options: FacadeOptions): Promise<RunningFacade> {
  const facade = await startFacade({ mode: "binary", ...options })
  running.push(facade.stop)
  return facade
}

function upstream(): UpstreamServer {
  const server = startUpstream()
  running.push(server.stop)
  return server
}

const signal = ({ pid }: RunningFacade, name: NodeJS.Signals) => process.kill(pid ?? 0, name)
/** On a connection of its own, as a new client's. */
const connect = async ({ url }: RunningFacade) =>
  await fetch(`${url}/v2/`, { headers: { connection: "close" }, keepalive: false }).then(({ status }) => status)

describe("SIGTERM", () => {
  test("D-15 a transfer that runs is completed, new connections are refused, and the process ends with 0", async () => {
    const transfer = await holdTransfer(upstream())
    const facade = await start({ specs: { slow: transfer.spec } })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const pull = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    signal(facade, "SIGTERM")
    await until(() => hasLogged(facade.logs, DRAINING))

    expect(connect(facade)).rejects.toThrow()
    transfer.release()
    const bytes = await pull.bytes()

    expect(sha256(bytes)).toBe(transfer.layer.digest)
    expect(await facade.exited).toBe(0)
    expect(hasLogged(facade.logs, "all transfers are complete")).toBe(true)
    expect(facade.logs.filter(({ severity }) => severity === "WARNING" || severity === "ERROR")).toEqual([])
  })

  test("new connections are still accepted during shutdown.delay", async () => {
    const facade = await start({ specs: SPECS, config: { shutdown: { delay: "1s", grace: "5s" } } })
    signal(facade, "SIGTERM")
    await until(() => hasLogged(facade.logs, "shutting down, not ready any more"))

    expect(await connect(facade)).toBe(200)
    expect(await facade.exited).toBe(0)
  })

  test("a transfer that takes longer than shutdown.grace is cut off, visibly", async () => {
    const transfer = await holdTransfer(upstream())
    const config = { shutdown: { delay: "0", grace: "200ms" } }
    const facade = await start({ specs: { slow: transfer.spec }, config })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const pull = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    signal(facade, "SIGTERM")

    expect(pull.bytes()).rejects.toThrow()
    expect(await facade.exited).toBe(0)
  })

  test.each(["SIGTERM", "SIGINT"] as const)("a second signal (%s) ends at once", async (second) => {
    const transfer = await holdTransfer(upstream())
    const config = { shutdown: { delay: "60s", grace: "60s" } }
    const facade = await start({ specs: { slow: transfer.spec }, config })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const pull = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    signal(facade, "SIGTERM")
    await until(() => hasLogged(facade.logs, "shutting down, not ready any more"))
    const startedAt = performance.now()
    signal(facade, second)

    expect(pull.bytes()).rejects.toThrow()
    expect(await facade.exited).toBe(0)
    expect(performance.now() - startedAt).toBeLessThan(10_000)
  })
})

describe("a successor", () => {
  test("is refused the port of a running process unless it is told to share it", async () => {
    const first = await start({ specs: SPECS })
    const port = Number(first.host.split(":")[1])

    expect(startFacade({ mode: "binary", specs: SPECS, registry: { port } })).rejects.toThrow("it is taken")
  })

  test("A-64 D-15 shares the port during an update: pulls are completed by the old one, new ones get the new one, none is refused or reset", async () => {
    const port = freePort()
    const transfer = await holdTransfer(upstream())
    const options = { specs: { slow: transfer.spec, ...SPECS }, registry: { port }, args: ["--share-ports"] }
    const config = { shutdown: { delay: "200ms", grace: "60s" } }
    const old = await start({ ...options, config })
    await old.get("/v2/fixed/slow/manifests/latest")
    const pull = await old.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    const successor = await start({ ...options, config })
    const answers = new Map<string, number>()
    let isOver = false
    const clients = Array.from({ length: 4 }, async () => {
      while (!isOver) {
        const key = String(await connect(successor).catch((error) => error.code ?? error.name))
        answers.set(key, (answers.get(key) ?? 0) + 1)
      }
    })

    signal(old, "SIGTERM")
    await until(() => hasLogged(old.logs, DRAINING))
    const before = successor.logs.length
    await until(() => successor.logs.length > before + 20)
    isOver = true
    await Promise.all(clients)
    transfer.release()

    expect(sha256(await pull.bytes())).toBe(transfer.layer.digest)
    expect(await old.exited).toBe(0)
    expect([...answers.keys()]).toEqual(["200"])
    expect(answers.get("200")).toBeGreaterThan(20)
  })
})
