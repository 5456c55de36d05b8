import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { BINARY, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { addressOf, DEBUG, METRICS, PROBES } from "../helpers/operation.ts"
import { output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(90_000)

let stop: () => Promise<unknown> = async () => {}
afterEach(async () => await stop())

async function start(options: Parameters<typeof startFacade>[0]): Promise<RunningFacade> {
  const facade = await startFacade({ mode: "binary", flags: [], ...options })
  stop = async () => await facade.stop()
  return facade
}

/** All of them, a few at a time. */
async function each(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) {
      next += 1
      await work(next)
    }
  }
  await Promise.all(Array.from({ length: 40 }, worker))
}

test("K1: metrics have few series, whatever clients ask for and wherever specs lead", async () => {
  const elsewhere = Array.from({ length: 60 }, (_, index) => [`h${index}`, { baseRef: `127.0.0.1:${index + 1}/a/b:1` }])
  const facade = await start({
    specs: Object.fromEntries(elsewhere),
    config: { prometheusAddr: "127.0.0.1:0" },
    registry: { timeouts: { connect: "1s" } },
  })
  const metrics = `http://${await addressOf(facade, METRICS)}/metrics`
  const series = async () =>
    (await (await fetch(metrics)).text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"))
  const verbs = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "MKCOL", "X-ANY"]
  const paths = ["manifests", "blobs", "tags", "referrers", "uploads", "-", "%2e%2e"]
  const ask = async (index: number) => {
    const path = `/v2/fixed/n${index}/${paths[index % paths.length]}/sha256:${index}?a=${index}`
    const headers = { host: `host${index}.test`, "user-agent": `agent ${index}`, authorization: `Basic ${index}` }
    await facade.get(path, { method: verbs[index % verbs.length] ?? "GET", headers }).catch(() => null)
  }
  await each(500, ask)
  const before = await series()
  await each(3000, async (index) => await ask(index + 500))
  await each(60, async (index) => await facade.get(`/v2/fixed/h${index - 1}/manifests/latest`))
  const after = await series()

  expect(after.length).toBeLessThan(2000)
  expect(after.length - before.length).toBeLessThan(60)
  expect(after.filter((line) => /host\d|agent|127\.0\.0\.1/.test(line))).toEqual([])
})

test("K4: who reads the log and stops reading holds up nobody, and is told what was lost", async () => {
  const dir = tempDir()
  const [fifo, log, port] = [join(dir, "fifo"), join(dir, "log"), freePort()]
  const file = join(dir, "config.json")
  writeFileSync(file, JSON.stringify({ registry: { port, host: "127.0.0.1", store: join(dir, "store") } }))
  await output(["mkfifo", fifo])
  const reader = Bun.spawn(["sh", "-c", 'exec cat "$0"', fifo], { stdout: Bun.file(log), stderr: "inherit" })
  const facade = Bun.spawn(["sh", "-c", 'exec "$0" -v run "$1" 2> "$2"', BINARY, file, fifo])
  stop = async () => {
    for (const child of [facade, reader]) child.kill("SIGKILL")
    await Promise.all([facade.exited, reader.exited])
  }
  const ask = async (name: string) => await fetch(`http://127.0.0.1:${port}/v2/fixed/${name}/manifests/latest`)
  await until(async () => (await ask("first").catch(() => null)) !== null)
  reader.kill("SIGSTOP")
  const statuses = new Set<number>()
  const long = "x".repeat(200)
  await each(8000, async (index) => {
    statuses.add((await ask(`${long}${index}`)).status)
  })
  expect([...statuses]).toEqual([404])
  reader.kill("SIGCONT")
  await until(async () => (await Bun.file(log).text()).includes("log lines were lost, their reader was too slow"))
  await ask("last")
  await until(async () => (await Bun.file(log).text()).includes("/v2/fixed/last/manifests/latest"))
})

test("K5: what watches over the process is on ports of its own, and debugging on this machine alone", async () => {
  const config = { pprofAddr: ":0", prometheusAddr: "127.0.0.1:0", readinessProbeAddr: "127.0.0.1:0" }
  const facade = await start({ specs: {}, config })
  const paths = ["/metrics", "/ready", "/live", "/debug/", "/debug/logging", "/debug/heap-snapshot", "/debug/pprof/"]
  const statuses = await Promise.all(paths.map(async (path) => (await facade.get(path)).status))

  expect(statuses).toEqual(paths.map(() => 404))
  const [debug, metrics, probes] = await Promise.all([DEBUG, METRICS, PROBES].map((name) => addressOf(facade, name)))
  expect(debug).toStartWith("127.0.0.1:")
  expect(new Set([debug, metrics, probes, facade.host]).size).toBe(4)
  // By the system's own account
  const listening = await Bun.file(`/proc/${facade.pid}/net/tcp`).text()
  const hex = Number(debug?.split(":")[1]).toString(16).toUpperCase().padStart(4, "0")
  expect([listening.includes(`0100007F:${hex} `), listening.includes(`00000000:${hex} `)]).toEqual([true, false])
})
