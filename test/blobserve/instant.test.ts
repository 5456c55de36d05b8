import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { freePort } from "../helpers/free-port.ts"
import { image } from "../helpers/images.ts"
import { samples } from "../helpers/metrics.ts"
import { rawLayer } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const PAGE = `<head></head>${"page ".repeat(50)}`
const DATE = 1_600_000_000

describe.each(["source", "binary"] as const)("a file that is asked for again and again, from %s", (mode) => {
  let upstream: UpstreamServer
  let server: FileServer
  let metrics: string

  const repos = () => ({
    [`${upstream.host}/lab/plain`]: { layers: "all" },
    [`${upstream.host}/lab/cors`]: { layers: "all", cors: ["https://ide.example"] },
    [`${upstream.host}/lab/vars`]: {
      layers: "all",
      inlineStatic: [{ search: "<head>", replacement: "<head>vars" }],
    },
  })

  beforeAll(async () => {
    upstream = startUpstream()
    const made = await image({ layers: [rawLayer([{ name: "index.html", content: PAGE, mtime: DATE }])] })
    for (const name of ["plain", "cors", "vars"]) upstream.add(`lab/${name}`, "1", made)
    metrics = `127.0.0.1:${freePort()}`
    const config = { prometheusAddr: metrics }
    server = await startFiles({ mode, isFollowing: true, blobserve: { repos: repos() }, config })
    for (const name of ["plain", "cors", "vars"]) await untilVerified(name)
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  const at = (name: string): string => `/${upstream.host}/lab/${name}:1/index.html`

  async function untilVerified(name: string): Promise<void> {
    await until(async () => (await server.get(at(name))).headers.get("cache-control") !== "no-store")
  }

  const seen = async (response: Response) => ({
    status: response.status,
    headers: [...response.headers].filter(([name]) => name !== "date"),
    body: await response.text(),
  })

  let fresh = 0
  /** A path that nobody has asked for before, which leads to the same file. */
  const anew = (path: string): string => `${path}?${++fresh}`

  const date = new Date(DATE * 1000).toUTCString()
  test.each<[string, RequestInit]>([
    ["all of it", {}],
    ["its headers", { method: "HEAD" }],
    ["a part", { headers: { range: "bytes=5-9" } }],
    ["a part that is not there", { headers: { range: "bytes=5000-" } }],
    ["what has changed since any", { headers: { "if-none-match": "*" } }],
    ["what has changed since another", { headers: { "if-none-match": '"other"' } }],
    ["what has changed since its date", { headers: { "if-modified-since": date } }],
    ["another protocol", { headers: { upgrade: "websocket" } }],
    ["another protocol, as proxies do that have lost its name", { headers: { connection: "upgrade" } }],
    ["variables in it", { headers: { "x-blobserve-inlinevars": JSON.stringify({ ide: "x" }) } }],
    ["it from another site", { headers: { origin: "https://ide.example" } }],
    ["another method", { method: "POST", body: "x" }],
    ["options", { method: "OPTIONS", headers: { origin: "https://ide.example" } }],
  ])("is answered as the first time to who asks for %s", async (_, init) => {
    for (const name of ["plain", "cors", "vars"]) {
      const slow = await seen(await server.get(anew(at(name)), init))
      await server.get(at(name))
      const fast = await seen(await server.get(at(name), init))

      expect(fast).toEqual(slow)
    }
  })

  const answered = async () => {
    const text = await (await fetch(`http://${metrics}/metrics`)).text()
    return samples(text).get('http_server_requests_total{method="get",code="200"}') ?? 0
  }

  test("has a count for each answer, and each stands in the log, alone or with others", async () => {
    const path = at("plain").replace(":1/", ":1/__files__/") // nothing was told of it before
    const lines = () => server.logs.filter((line) => line["message"] === "request" && line["path"] === path)
    const told = () => lines().reduce((sum, { repeated = 1 }) => sum + Number(repeated), 0)
    const before = await answered()
    for (let asked = 0; asked < 200; asked += 1) await (await server.get(path)).text()
    await until(() => told() >= 200)

    expect([told(), await answered()]).toEqual([200, before + 200])
    expect(lines().at(-1)).toMatchObject({ level: "info", method: "GET", status: 200, bytes: PAGE.length })
    expect(Number(lines().at(-1)?.["ms"])).toBeWithin(0, 10_000)
  })

  test("is answered by the configuration of now", async () => {
    await server.get(at("plain"))
    const { [`${upstream.host}/lab/plain`]: _, ...others } = repos()
    server.configure({ repos: others })
    await until(async () => (await server.get(anew(at("plain")))).status === 403)

    expect((await server.get(at("plain"))).status).toBe(403)
    server.configure({ repos: repos() })
    await until(async () => (await server.get(anew(at("plain")))).status === 200)
  })
})

describe("the log of the program at its usual level", () => {
  let upstream: UpstreamServer
  let server: FileServer
  let path: string

  beforeEach(async () => {
    upstream = startUpstream()
    upstream.add("lab/plain", "1", await image({ layers: [rawLayer([{ name: "a.txt", content: PAGE }])] }))
    const repos = { [`${upstream.host}/lab/plain`]: { layers: "all" } }
    server = await startFiles({ mode: "binary", level: "info", blobserve: { repos } })
    path = `/${upstream.host}/lab/plain:1/a.txt`
    await until(async () => (await server.get(`${path}?first`)).headers.get("cache-control") !== "no-store")
    const before = server.logs.length
    await server.get("/-/last")
    await until(() => server.logs.slice(before).some((line) => line["path"] === "/-/last"))
    server.logs.length = 0
  })
  afterEach(async () => {
    await server.stop()
    upstream.stop()
  })

  const lines = () => server.logs.filter((line) => line["path"] === path)
  const told = () => lines().reduce((sum, { repeated = 1 }) => sum + Number(repeated), 0)
  const ask = async (times: number) => {
    for (let asked = 0; asked < times; asked += 1) await (await server.get(path)).text()
  }

  test("tells of many requests for one file in few lines", async () => {
    await ask(400)
    await until(() => told() === 400)

    expect(lines().length).toBeLessThan(200)
    const together = lines().findLast(({ repeated }) => repeated !== undefined)
    expect(together).toMatchObject({ message: "request", method: "GET", status: 200, bytes: PAGE.length })
    expect(Number(together?.["ms"])).toBeWithin(0, 10_000)
  })

  test("tells of all of them before the program ends", async () => {
    await ask(60)
    process.kill(server.pid ?? 0, "SIGTERM")

    await until(() => told() === 60)
  })
})
