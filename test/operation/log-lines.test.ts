import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { connect } from "node:net"
import { linesOf } from "../helpers/config-file.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

let facade: RunningFacade
afterEach(async () => {
  await facade.stop()
})

/** As few clients do, with the target as it is. */
async function send(target: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const socket = connect(Number(facade.host.split(":")[1]), "127.0.0.1")
  socket.on("error", () => resolve()).on("close", () => resolve())
  socket.on("data", () => socket.end())
  socket.write(`GET ${target} HTTP/1.1\r\nhost: ${facade.host}\r\nconnection: close\r\n\r\n`)
  await promise
}

test("K2: whatever clients ask for is one line of bounded length, without control characters", async () => {
  facade = await startFacade({ mode: "binary", specs: {} })
  const names = [
    "a%0Aforged%20line",
    "a%1B%5B31mred",
    "\u001b[31mred",
    "a%E2%80%A8b",
    "x".repeat(5000),
    "y".repeat(1_000_000),
  ]
  for (const name of names) await send(`/v2/fixed/${name}/manifests/latest`)
  await facade.get("/v2/fixed/last/manifests/latest")
  await until(() => facade.logs.some(({ path }) => path === "/v2/fixed/last/manifests/latest"))

  const lines = facade.logs.map((line) => JSON.stringify(line))
  expect(facade.logs.every((line) => typeof line["time"] === "string")).toBe(true) // nothing else is a line
  expect(lines.filter((line) => line.includes("\u001b") || line.length > 2000)).toEqual([])
  expect(facade.logs.filter(({ path }) => String(path).length > 259)).toEqual([])
})

test("K2: trouble that clients can cause without end is told ten times a second, with how often it was left out", async () => {
  const specs = { broken: { baseRef: "scratch", layers: [{ file: "none.tar" }] } }
  facade = await startFacade({ mode: "binary", specs, flags: [] })
  const pull = async () => {
    const answer = await facade.get("/v2/fixed/broken/manifests/latest")
    await answer.text()
    return answer.status
  }
  const answers: number[] = []
  for (let round = 0; round < 20; round += 1) answers.push(...(await Promise.all(Array.from({ length: 20 }, pull))))
  expect(new Set(answers)).toEqual(new Set([500]))

  const told = () => linesOf(facade, "cannot get manifest")
  const count = () => told().reduce((sum, line) => sum + Number(line["repeated"] ?? 1), 0)
  await until(() => count() === answers.length)
  expect(told().length).toBeLessThan(answers.length / 2)
})

test("lines name the place in the sources that they are from: at level debug all, else those of trouble", async () => {
  const specs = { broken: { baseRef: "scratch", layers: [{ file: "none.tar" }] } }
  for (const flags of [["-v"], []]) {
    facade = await startFacade({ mode: "binary", specs, flags })
    await facade.get("/v2/fixed/broken/manifests/latest")
    await until(() => linesOf(facade, "request").length > 0 && linesOf(facade, "cannot get manifest").length > 0)
    const [trouble] = linesOf(facade, "cannot get manifest")
    const [request] = linesOf(facade, "request")
    await facade.stop()

    const place = { file: expect.stringMatching(/^src\/http\/[a-z-]+\.ts:\d+$/), func: expect.stringMatching(/^\w+$/) }
    expect(trouble).toMatchObject(place)
    if (flags.length > 0) expect(request).toMatchObject(place)
    else expect(request).not.toHaveProperty("file")
  }
})
