import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { APPLIED, changeConfig, linesOf } from "../helpers/config-file.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { image, layer, sha256 } from "../helpers/images.ts"
import { addressOf, hasLogged, holdTransfer, METRICS, PROBES } from "../helpers/operation.ts"
import { needs } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

let upstream: UpstreamServer
let facade: RunningFacade
beforeEach(async () => {
  upstream = startUpstream()
  upstream.add("acme/base", "1", await image({ layers: [await layer({ a: "1" })] }))
})
afterEach(async () => {
  await facade.stop()
  upstream.stop()
})

const hello = () => ({ baseRef: `${upstream.host}/acme/base:1` })
const start = async (options: FacadeOptions = {}) => {
  facade = await startFacade({ mode: "binary", specs: { hello: hello() }, ...options })
}
const signal = (name: NodeJS.Signals) => process.kill(facade.pid ?? 0, name)
const pull = async (name = "hello") => (await facade.get(`/v2/fixed/${name}/manifests/latest`)).status

test("I1: of fifty pulls that run at SIGTERM all are completed, and then nobody is let in", async () => {
  const transfer = await holdTransfer(upstream, 2_000_000)
  const other = await holdTransfer(upstream, 12_000_000) // too large to be held back until it is verified
  upstream.add("acme/two", "1", await image({ layers: [transfer.layer, other.layer] }))
  await start({ specs: { two: { baseRef: `${upstream.host}/acme/two:1` } } })
  expect(await pull("two")).toBe(200)
  const pulls = Array.from({ length: 50 }, async (_, index) => {
    const { digest } = (index % 2 === 0 ? transfer : other).layer
    const answer = await facade.get(`/v2/fixed/two/blobs/${digest}`)
    return sha256(await answer.bytes()) === digest
  })
  await until(() => transfer.isAsked() && other.isAsked())
  const sent = async () => (await facade.get("/v2/")).status
  expect(await sent()).toBe(200)
  signal("SIGTERM")
  await until(() => hasLogged(facade.logs, "accepting no new connections, waiting for running transfers"))
  await until(async () => (await fetch(`${facade.url}/v2/`, { keepalive: false }).catch(() => null)) === null)
  transfer.release()
  other.release()

  expect(await Promise.all(pulls)).toEqual(Array(50).fill(true))
  expect(await facade.exited).toBe(0)
})

test("I4: a configuration is followed that Kubernetes mounts, where a link is put in place of a directory", async () => {
  const dir = tempDir()
  const write = (revision: string, tagTTL: string) => {
    mkdirSync(join(dir, revision), { recursive: true })
    const registry = { port: 0, host: "127.0.0.1", store: join(dir, "store"), tagTTL, fixedSpecFN: "specs.json" }
    writeFileSync(join(dir, revision, "config.json"), JSON.stringify({ shutdown: { delay: "0" }, registry }))
  }
  await start({ dir })
  await facade.stop()
  write("..1", "1h")
  symlinkSync("..1", join(dir, "..data"))
  renameSync(join(dir, "config.json"), join(dir, "config.old"))
  symlinkSync("..data/config.json", join(dir, "config.link"))
  facade = await startFacade({ mode: "binary", dir, file: "config.link" })
  await until(() => facade.logs.some(({ message }) => String(message).startsWith("starting watch of file")))
  write("..2", "2h")
  symlinkSync("..2", join(dir, "..data.new"))
  renameSync(join(dir, "..data.new"), join(dir, "..data"))
  await until(() => linesOf(facade, APPLIED).length === 1)

  expect(linesOf(facade, APPLIED)[0]?.["applied"]).toEqual(["registry.tagTTL"])
})

test("I6: with everything gone that it asks, the process is live and ready, and serves what it has", async () => {
  const [redis, ipfs] = [freePort(), freePort()]
  await start({
    config: { readinessProbeAddr: "127.0.0.1:0" },
    registry: {
      tagTTL: "0",
      staleIfError: "1h",
      redis: { enabled: true, singleHostAddr: `127.0.0.1:${redis}` },
      ipfs: { enabled: true, ipfsAddr: `/ip4/127.0.0.1/tcp/${ipfs}` },
    },
  })
  expect(await pull()).toBe(200)
  upstream.stop()
  const probes = `http://${await addressOf(facade, PROBES)}`
  for (let round = 0; round < 5; round += 1) {
    expect(await pull()).toBe(200)
    const asked = ["/live", "/ready"].map(async (path) => (await fetch(`${probes}${path}`)).status)
    expect(await Promise.all(asked)).toEqual([200, 200])
  }
})

const faketime = needs("faketime")
describe.skipIf(faketime.isMissing)(`I7: a clock that jumps${faketime.note}`, () => {
  const [library = ""] = new Bun.Glob("usr/lib/*/faketime/libfaketimeMT.so.1").scanSync("/")

  test.each([24 * 3600, -24 * 3600])("by %d seconds disturbs neither what is known nor what runs", async (seconds) => {
    const file = join(tempDir(), "faketime")
    const jump = (by: number) => writeFileSync(file, `${by < 0 ? "" : "+"}${by}s\n`)
    jump(0)
    const transfer = await holdTransfer(upstream)
    const env = {
      LD_PRELOAD: `/${library}`,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
    }
    const specs = { hello: hello(), slow: transfer.spec }
    await start({ specs, env, registry: { tagTTL: "1h" } })
    expect([await pull(), await pull("slow")]).toEqual([200, 200])
    const running = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    const seen = upstream.seen.length
    jump(seconds)
    expect([await pull(), await pull("slow")]).toEqual([200, 200])
    transfer.release()

    expect(sha256(await running.bytes())).toBe(transfer.layer.digest)
    expect(upstream.seen).toHaveLength(seen)
    const times = facade.logs.map(({ time }) => Date.parse(String(time)))
    expect(Math.max(...times) - Math.min(...times)).toBeGreaterThan(23 * 3_600_000) // it has jumped
    changeConfig(facade, { tagTTL: "0" })
    await until(() => hasLogged(facade.logs, APPLIED))
    expect(await pull()).toBe(200) // asked anew
    upstream.stop()
    expect(await pull()).toBe(200) // as it was
  })
})

describe("I9: something that nobody has expected", () => {
  const main = join(import.meta.dir, "../../src/main.ts")
  const preload = join(import.meta.dir, "../helpers/stray-failures.ts")
  const strays = () => facade.logs.filter(({ error }) => String(error).startsWith("stray ")).length
  const startSources = async () =>
    await start({
      wrapper: [process.execPath, "--preload", preload],
      program: main,
      config: { prometheusAddr: "127.0.0.1:0" },
      flags: [],
    })
  const fail = async (times: number) => {
    for (let count = 1; count <= times; count += 1) {
      signal("SIGUSR2")
      await until(() => strays() === count)
    }
  }

  test("is told and counted, and ends nothing", async () => {
    await startSources()
    await fail(9)

    expect(await pull()).toBe(200)
    const text = await (await fetch(`http://${await addressOf(facade, METRICS)}/metrics`)).text()
    expect(text).toContain("registry_facade_stray_failures_total 9")
  })

  test("ten times within a minute ends the process in order, as a failure", async () => {
    const transfer = await holdTransfer(upstream)
    await startSources()
    facade.writeSpecs({ slow: transfer.spec })
    await until(async () => (await pull("slow")) === 200)
    const running = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    await fail(10)
    await until(() => hasLogged(facade.logs, "accepting no new connections, waiting for running transfers"))
    transfer.release()

    expect(sha256(await running.bytes())).toBe(transfer.layer.digest)
    expect(await facade.exited).toBe(1)
  })
})
