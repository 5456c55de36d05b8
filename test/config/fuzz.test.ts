import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type RunningApp, startApp } from "../../src/app/app.ts"
import { loadConfig, parseConfig } from "../../src/config/load.ts"
import { parseSpecs } from "../../src/spec/fixed.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { createRandom } from "../chaos/random.ts"
import { mutated } from "../helpers/mutate.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(60_000)

const ROUNDS = 600
const digest = `sha256:${"a".repeat(64)}`

const CONFIG = {
  dockerAuth: "auth.json",
  prometheusAddr: "127.0.0.1:9500",
  tracing: { otlpEndpoint: "http://127.0.0.1:4318", sampleRatio: 0.5 },
  shutdown: { delay: "5s", grace: "300s" },
  registry: {
    port: 31_750,
    prefix: "/a",
    store: "store",
    storeMaxSizeBytes: 1,
    staticLayer: [
      { type: "image", ref: "ghcr.io/acme/agent:1" },
      { type: "dir", ref: "dir" },
    ],
    remoteSpecProvider: [
      { addr: "dns:///ws-manager:8080", tls: { ca: "ca.crt", crt: "tls.crt", key: "tls.key" }, serverName: "x" },
      { url: "https://example.com/{id}" },
    ],
    requireAuth: true,
    auth: { htpasswd: "users" },
    tls: { crt: "tls.crt", key: "tls.key" },
    tagTTL: "60s",
    defaultPlatform: "linux/amd64",
    upstreams: { "ghcr.io": { mirrors: ["https://mirror.example"], username: "me", passwordFile: "password" } },
    allowedUpstreams: ["docker.io/**"],
    redis: { enabled: true, singleHostAddr: "127.0.0.1:6379", useTLS: true },
    ipfs: { enabled: true, ipfsAddr: "/ip4/127.0.0.1/tcp/5001", cluster: { url: "http://127.0.0.1:9094" } },
  },
}

const SPECS = {
  "team/app": {
    baseRef: "docker.io/library/ubuntu:24.04",
    ideRef: "ghcr.io/acme/ide:1",
    ideLayerRef: ["ghcr.io/acme/plugin:1"],
    contentLayer: [
      { remote: { url: "https://x/y", digest, diffId: digest, mediaType: "application/x", size: 1 } },
      { direct: { content: "AAAA" } },
    ],
    layers: [
      { image: "ghcr.io/acme/tool:1" },
      { dir: "tool", dest: "/opt/tool" },
      { url: "https://x/z", digest, size: 5 },
      { files: { "/etc/motd": "hello" } },
    ],
    config: { env: { set: { A: "1" }, prependPath: { PATH: "/x" }, unset: ["B"] }, cmd: ["sh"], labels: { a: "b" } },
    annotations: { a: "b" },
    platforms: ["linux/amd64"],
  },
}

/** Null: it was taken. */
function failureOf(load: () => unknown): unknown {
  try {
    load()
    return null
  } catch (error) {
    return error
  }
}

/** Each line: the file, the line in it, and the path or what the text lacks. */
const TOLD = /^\/x\/file\.json(?::\d+: .+?: |: line \d+: )./

describe.each([
  ["configuration", CONFIG, (text: string) => parseConfig("/x/file.json", text, {})],
  ["file of specs", SPECS, (text: string) => parseSpecs("/x/file.json", text)],
] as const)("a %s with mistakes", (what, document, load) => {
  test("I3: is taken, or refused with its file and place", () => {
    const counts = { taken: 0, refused: 0 }
    for (let round = 0; round < ROUNDS; round += 1) {
      const text = mutated(document, createRandom("mistakes", what, round))
      const failure = failureOf(() => load(text))
      counts[failure === null ? "taken" : "refused"] += 1
      if (failure === null) continue
      const message = failure instanceof Error ? failure.message : String(failure)
      if (!message.split("\n").every((line) => TOLD.test(line)))
        throw new Error(`Round ${round}: ${message.slice(0, 500)}\n${text.slice(0, 3000)}`)
    }
    expect(counts.taken).toBeGreaterThan(ROUNDS / 50)
    expect(counts.refused).toBeGreaterThan(ROUNDS / 2)
  })
})

describe("a configuration that changes while it serves", () => {
  let app: RunningApp | null = null
  afterEach(async () => await app?.stop(true))

  test("I3: whatever is written, every request is answered, and the next good one holds as a whole", async () => {
    const dir = tempDir()
    const file = join(dir, "config.json")
    const write = (text: string) => {
      writeFileSync(`${file}.new`, text)
      renameSync(`${file}.new`, file)
    }
    writeFileSync(join(dir, "specs.json"), JSON.stringify({ hello: { baseRef: "scratch" } }))
    const good = (round: number) => ({
      registry: {
        ...{ port: 0, host: "127.0.0.1", store: "store", fixedSpecFN: "specs.json", tagTTL: `${round + 1}h` },
        ...{ staleIfError: "1h", upstreams: { "x.io": {} }, allowedUpstreams: ["x.io/**"] },
      },
    })
    write(JSON.stringify(good(0)))
    let looks = 0
    const { clock } = PRODUCTION
    const sleep = async (ms: number, signal?: AbortSignal) => {
      if (ms === 1000) looks += 1
      await clock.sleep(ms === 1000 ? 2 : ms, signal)
    }
    const applied: unknown[] = []
    const log = createLogger({
      ...({ format: "json", version: "test", level: () => "debug" } as const),
      write: (line) => {
        const { message, ...fields } = JSON.parse(line)
        if (message === "reloading file after change") applied.push(fields.applied)
      },
    })
    const tuning = { ...PRODUCTION, clock: { now: clock.now, sleep } }
    app = await startApp(await loadConfig(file, {}), { log, tuning, isFollowing: true })
    const url = `http://127.0.0.1:${app.registryPort}/v2/fixed/hello/manifests/latest`
    for (let round = 1; round <= 60; round += 1) {
      const before = looks
      write(mutated(good(round), createRandom("live", round)))
      await until(() => looks > before + 8)
      expect([200, 404]).toContain((await fetch(url)).status)
      write(JSON.stringify(good(round + 100)))
      await until(() => app?.config.written.registry?.tagTTL === `${round + 101}h`)
      expect((await fetch(url)).status).toBe(200)
      expect(app.config.written).toEqual(good(round + 100) as never)
    }
    expect(applied.length).toBeGreaterThan(60)
  })
})
