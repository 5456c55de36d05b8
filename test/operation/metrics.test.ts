import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, opaqueLayer, type TestImage } from "../helpers/images.ts"
import { addressOf, METRICS } from "../helpers/operation.ts"
import { until } from "../helpers/until.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

/**
 * What dashboards that were made for the original ask for: its metrics with the labels that they group and filter by.
 * Series of other programs (the workspace manager's gRPC server, Kubernetes' DaemonSets) are theirs.
 */
const SELECTORS = [
  "gitpod_registry_facade_registry_manifest_req_seconds_bucket{le=~'.+'}",
  "gitpod_registry_facade_registry_manifest_req_seconds_sum",
  "gitpod_registry_facade_registry_manifest_req_seconds_count",
  "gitpod_registry_facade_downstream_manifest_req_seconds_bucket{le='1800'}",
  "gitpod_registry_facade_downstream_manifest_req_seconds_count",
  "gitpod_registry_facade_registry_blob_req_total",
  "gitpod_registry_facade_downstream_blob_req_total",
  "gitpod_registry_facade_registry_req_failed_total{type='manifest'}",
  "gitpod_registry_facade_registry_req_failed_total{type='blob'}",
  "gitpod_registry_facade_downstream_req_failed_total{type='manifest'}",
  "gitpod_registry_facade_downstream_req_failed_total{type='blob'}",
  "gitpod_registry_facade_upstream_req_failed_total",
  "gitpod_registry_facade_registry_blob_req_dl_total{blobSource='proxy',ok='true'}",
  "gitpod_registry_facade_registry_blob_req_dl_total{blobSource='blobstore',ok='true'}",
  "gitpod_registry_facade_registry_blob_req_dl_total{blobSource='config',ok='true'}",
  "gitpod_registry_facade_registry_blob_req_dl_total{blobSource='composite',ok='true'}",
  "gitpod_registry_facade_registry_blob_req_bytes_total{blobSource=~'.+'}",
  "gitpod_registry_facade_registry_blob_req_bytes_second_bucket{blobSource='proxy',le='1048576'}",
  "gitpod_registry_facade_registry_blob_req_bytes_second_count{blobSource='proxy'}",
  "gitpod_registry_facade_downstream_blob_req_dl_total",
  "gitpod_registry_facade_downstream_blob_req_bytes_total",
  "go_goroutines",
  "process_resident_memory_bytes",
  "process_cpu_seconds_total",
  "process_open_fds",
  "process_start_time_seconds",
] as const

let upstream: UpstreamServer
let facade: RunningFacade
let base: TestImage
let scraped: readonly string[]
beforeAll(async () => {
  upstream = startUpstream()
  base = await image({ layers: [opaqueLayer(9_000_000), await layer({ a: "1" })] })
  upstream.add("acme/base", "1", base)
  upstream.add("acme/addon", "1", await image({ layers: [await layer({ addon: "1" })] }))
  const layers = [{ files: { "/b": "2" } }, { image: `${upstream.host}/acme/addon:1` }]
  const specs = { hello: { baseRef: `${upstream.host}/acme/base:1`, layers } }
  facade = await startFacade({ mode: "binary", specs, config: { prometheusAddr: "127.0.0.1:0" } })
  await pull()
  await until(async () => numberIn(await scrape(), "registry_facade_store_bytes") > 9_000_000) // kept after it was sent
  await pull()
  scraped = await scrape()
})
afterAll(async () => {
  await facade.stop()
  upstream.stop()
})

/** As a client does it: the manifest, its config, its layers. */
async function pull(): Promise<void> {
  const manifest = await (await facade.get("/v2/fixed/hello/manifests/latest")).json()
  const { config, layers } = manifest as { config: { digest: string }; layers: readonly { digest: string }[] }
  for (const { digest } of [config, ...layers]) await (await facade.get(`/v2/fixed/hello/blobs/${digest}`)).bytes()
}
async function scrape(): Promise<readonly string[]> {
  const text = await (await fetch(`http://${await addressOf(facade, METRICS)}/metrics`)).text()
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
}

/** The series that an instant vector selector of PromQL chooses, with `=` and `=~`. */
function select(series: readonly string[], selector: string): readonly string[] {
  const [, name, matchers = ""] = /^(\w+)(?:\{(.*)\})?$/.exec(selector) ?? []
  const wanted = [...matchers.matchAll(/(\w+)(=~?)'([^']*)'/g)]
  return series.filter((line) => {
    const [, found, labels = ""] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    return (
      found === name &&
      wanted.every(([, label, operator, value = ""]) => {
        const actual = new RegExp(`(?:^|,)${label}="([^"]*)"`).exec(labels)?.[1] ?? ""
        return operator === "=" ? actual === value : new RegExp(`^(?:${value})$`).test(actual)
      })
    )
  })
}
const numberIn = (series: readonly string[], selector: string): number =>
  Number(select(series, selector)[0]?.split(" ").at(-1))
const numberOf = (selector: string): number => numberIn(scraped, selector)

describe("metrics by the original's names", () => {
  test.each(SELECTORS)("C-11 %s has a series after a pull", (selector) => {
    expect(select(scraped, selector)).not.toEqual([])
  })

  test("count what they say", () => {
    const prefix = "gitpod_registry_facade_"
    const bytes = base.layers.reduce((sum, { size }) => sum + size, 0)
    // Configs are fetched to compose, layers because a client asks; all once, as they are kept
    expect(numberOf(`${prefix}downstream_blob_req_total`)).toBe(5)
    expect(numberOf(`${prefix}registry_blob_req_dl_total{blobSource='proxy',ok='true'}`)).toBe(4)
    expect(numberOf(`${prefix}registry_blob_req_dl_total{blobSource='composite',ok='true'}`)).toBe(1)
    expect(numberOf(`${prefix}registry_manifest_req_seconds_count`)).toBe(2)
    expect(numberOf(`${prefix}registry_blob_req_total`)).toBe(10)
    expect(numberOf(`${prefix}registry_blob_req_bytes_total{blobSource='proxy'}`)).toBeGreaterThan(bytes)
    expect(numberOf(`${prefix}registry_blob_req_bytes_total{blobSource='blobstore'}`)).toBeGreaterThanOrEqual(bytes)
    expect(numberOf(`${prefix}registry_req_failed_total{type='manifest'}`)).toBe(0)
    expect(numberOf("process_resident_memory_bytes")).toBeGreaterThan(10_000_000)
    expect(numberOf("process_open_fds")).toBeGreaterThan(3)
  })
})

test.each([
  "registry_facade_config_reloads_total{result='failure'}",
  "registry_facade_integrity_failures_total{source='upstream'}",
  "registry_facade_store_bypass_total{reason='enospc'}",
  "registry_facade_stale_served_total",
])("%s begins with 0, so that alerts on its increase see the first", (selector) => {
  expect(numberOf(selector)).toBe(0)
})

describe("the line of a transfer", () => {
  const lines = () => facade.logs.filter(({ message }) => message === "transfer complete")

  test("tells source, bytes, seconds and speed", () => {
    const line = lines().find(({ digest }) => digest === base.layers[0]?.digest)

    expect(line).toMatchObject({ severity: "INFO", src: "upstream", bytes: 9_000_000, resumes: 0 })
    expect(line?.["origin"]).toBe(`${upstream.host}/acme/base`)
    const [seconds, speed] = [Number(line?.["seconds"]), Number(line?.["mbPerSecond"])]
    expect(speed).toBeGreaterThan(0)
    expect(seconds).toBeGreaterThan(0)
  })

  test("is one for a blob that two pulls have asked for, and tells of content made here at debug alone", () => {
    const digests = lines().map(({ digest }) => digest)

    expect(digests.filter((digest) => digest === base.layers[1]?.digest)).toHaveLength(1)
    const [made] = lines().filter(({ src }) => src === "content" || src === "static")
    expect(made === undefined || made["severity"] === "DEBUG").toBe(true)
  })

  test("counts how often it was resumed, and says why", async () => {
    const large = opaqueLayer(10_000_000, 7)
    upstream.add("acme/flaky", "1", await image({ layers: [large] }))
    let cuts = 0
    upstream.roles.push((request, { pathname }) => {
      if (request.method !== "GET" || !pathname.endsWith(large.digest) || cuts === 2) return null
      cuts += 1
      const start = Number(/bytes=(\d+)/.exec(request.headers.get("range") ?? "")?.[1] ?? 0)
      const { headers, status } = contentResponse(request, large)
      const part = large.bytes.subarray(start, start + 3_000_000)
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(part)
          controller.close()
        },
      })
      return new Response(body, { status, headers })
    })
    facade.writeSpecs({ flaky: { baseRef: `${upstream.host}/acme/flaky:1` } })
    await until(async () => (await facade.get("/v2/fixed/flaky/manifests/latest")).ok)

    const bytes = await (await facade.get(`/v2/fixed/flaky/blobs/${large.digest}`)).bytes()

    expect(bytes.byteLength).toBe(10_000_000)
    await until(() => lines().some(({ digest }) => digest === large.digest))
    expect(lines().find(({ digest }) => digest === large.digest)).toMatchObject({ bytes: 10_000_000, resumes: 2 })
    const retried = facade.logs.filter(({ message }) => message === "retry get blob because of streaming error")
    expect(retried.map(({ offset }) => offset)).toEqual([3_000_000, 6_000_000])
  })

  test("is an error with its reasons for a blob that no source gives", async () => {
    upstream.roles.push((_, { pathname }) =>
      pathname.includes("/blobs/") ? new Response(null, { status: 404 }) : null,
    )
    const gone = await image({ layers: [await layer({ gone: "1" })] })
    upstream.add("acme/gone", "1", gone)
    facade.writeSpecs({ gone: { baseRef: `${upstream.host}/acme/gone:1` } })
    await until(() => facade.logs.filter(({ message }) => message === "reloading file after change").length > 1)
    await facade.get("/v2/fixed/gone/manifests/latest")

    await until(() => facade.logs.some(({ message }) => message === "unable to retrieve blob"))
    const line = facade.logs.find(({ message }) => message === "unable to retrieve blob")
    expect(line).toMatchObject({ severity: "ERROR", digest: gone.config.digest })
  })
})

describe("the original's messages", () => {
  test.each([
    ["🏪 registry facade is up and running", "INFO"],
    ["started Prometheus metrics server", "INFO"],
    ["using local filesystem to cache manifests and config", "INFO"],
    ["provider fixed will handle request for hello", "INFO"],
  ])("%s", (message, severity) => {
    const line = facade.logs.find((entry) => entry["message"] === message)
    expect(line).toMatchObject({ severity, serviceContext: { service: "registry-facade" } })
    expect(Date.parse(String(line?.["time"]))).toBeGreaterThan(0)
  })

  test("a pull is found by its provider and name", () => {
    const line = facade.logs.find(({ message }) => message === "provider fixed will handle request for hello")
    expect(line).toMatchObject({ specProvName: "fixed", name: "hello" })
  })
})
