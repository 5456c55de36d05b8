import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type FacadeOptions, startFacade } from "../helpers/facade.ts"
import { addressOf, DEBUG } from "../helpers/operation.ts"
import { rawRequest } from "../helpers/raw-http.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(60_000)

const running: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
})

async function start(options: FacadeOptions = {}) {
  const config = { pprofAddr: "127.0.0.1:0", ...options.config }
  const facade = await startFacade({ mode: "binary", specs: { hello: { baseRef: "scratch" } }, ...options, config })
  running.push(facade.stop)
  const address = await addressOf(facade, DEBUG)
  return { facade, address, url: `http://${address}/debug` }
}

const post = async (url: string, level: unknown, method = "POST") =>
  await fetch(`${url}/logging`, {
    method,
    body: JSON.stringify({ level }),
    headers: { "content-type": "application/json" },
  })

describe("the debug listener", () => {
  test("stands on loopback when its address has no host, because a heap holds secrets", async () => {
    const { address } = await start({ config: { pprofAddr: ":0" } })
    expect(address).toStartWith("127.0.0.1:")
  })

  test("lists what it has", async () => {
    const { url } = await start()

    const list = await (await fetch(`${url}/`)).text()

    for (const path of ["/debug/logging", "/debug/heap-snapshot", "/debug/cpu-profile"]) expect(list).toContain(path)
    expect((await fetch(`${url}/pprof/heap`)).status).toBe(404)
  })

  test("C-16 /debug/logging tells the level and switches it while the process runs", async () => {
    const { facade, url } = await start()
    expect(await (await fetch(`${url}/logging`)).json()).toEqual({ level: "debug" }) // started with -v

    expect(await (await post(url, "error")).json()).toEqual({ level: "error" })
    const before = facade.logs.length
    await facade.get("/v2/")
    expect(await (await post(url, "info", "PUT")).json()).toEqual({ level: "info" })
    await facade.get("/v2/fixed/")
    await until(() => facade.logs.slice(before).some(({ path }) => path === "/v2/fixed/"))

    expect(facade.logs.slice(before).filter(({ path }) => path === "/v2/")).toEqual([])
  })

  test.each([
    ["loud", 400],
    [7, 400],
    ["warning", 200],
    ["trace", 200],
  ])("level %p is answered with %d", async (level, status) => {
    const { url } = await start()
    expect((await post(url, level)).status).toBe(status)
  })

  test("a level is not read to its end where that is far away", async () => {
    const { address, url } = await start()
    const head = ["POST /debug/logging HTTP/1.1", `Host: ${address}`, "Content-Length: 1000000000"]
    const begun = [Buffer.from(`{"level":"error","more":"${"x".repeat(100_000)}`)]
    const answer = await rawRequest(address, head, { body: begun, timeoutMs: 5000 })

    expect(answer.status).toBe(400)
    expect(await (await fetch(`${url}/logging`)).json()).toEqual({ level: "debug" })
  })

  test("LOG_LEVEL sets the level at the start, by the original's names", async () => {
    const { url } = await start({ env: { LOG_LEVEL: "trace" }, flags: [] })
    expect(await (await fetch(`${url}/logging`)).json()).toEqual({ level: "debug" })
  })

  test("a heap snapshot is what developer tools read", async () => {
    const { url } = await start()

    const snapshot = (await (await fetch(`${url}/heap-snapshot`)).json()) as {
      readonly snapshot: { readonly node_count: number }
    }

    expect(snapshot.snapshot.node_count).toBeGreaterThan(1000)
  })

  test("a CPU profile is what developer tools read, and one is taken at a time", async () => {
    const { url } = await start()
    const first = fetch(`${url}/cpu-profile?seconds=0.5`)
    await until(async () => (await fetch(`${url}/cpu-profile?seconds=0.1`)).status === 409)

    const profile = (await (await first).json()) as { readonly nodes: readonly unknown[]; readonly endTime: number }

    expect(profile.nodes.length).toBeGreaterThan(0)
    expect((await fetch(`${url}/cpu-profile?seconds=0.1`)).status).toBe(200)
  })

  test.each(["seconds=-1", "seconds=x", "seconds=100000"])("a CPU profile of %s is refused", async (query) => {
    const { url } = await start()
    expect((await fetch(`${url}/cpu-profile?${query}`)).status).toBe(400)
  })
})
