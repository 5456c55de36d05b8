import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { samples } from "../helpers/metrics.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { rawRequest } from "../helpers/raw-http.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(20_000)

describe.each(["source", "binary"] as Mode[])("metrics from %s", (mode) => {
  const layer = opaqueLayer(300_000)
  let server: PullServer
  let address: string

  beforeAll(async () => {
    address = `127.0.0.1:${freePort()}`
    server = await startPullServer({
      mode,
      images: { a: await image({ layers: [layer] }) },
      upstreams: (host) => ({ [host]: {} }),
      config: { prometheusAddr: address },
    })
  })
  afterAll(async () => await server.stop())

  const scrape = async (path = "/metrics", method = "GET") =>
    await rawRequest(address, [`${method} ${path} HTTP/1.1`, "Host: localhost"])
  const current = async () => samples((await scrape()).body.toString())

  test("a pull leaves its traces", async () => {
    const manifest = await server.raw("GET", "/v2/fixed/a/manifests/latest")
    const { config } = JSON.parse(manifest.body.toString())
    await server.raw("GET", `/v2/fixed/a/blobs/${config.digest}`)
    await server.raw("GET", `/v2/fixed/a/blobs/${layer.digest}`)
    await server.raw("GET", "/v2/fixed/a/tags/list")
    await server.raw("GET", "/v2/fixed/none/manifests/latest")
    const values = await current()
    const host = server.upstream.host

    for (const [sample, value] of [
      [`registry_facade_upstream_requests_total{host="${host}",kind="manifest",code="200"}`, 1],
      [`registry_facade_upstream_requests_total{host="${host}",kind="blob",code="200"}`, 2],
      ['registry_facade_http_requests_total{route="manifest",code="200"}', 1],
      ['registry_facade_http_requests_total{route="manifest",code="404"}', 1],
      ['registry_facade_http_requests_total{route="blob",code="200"}', 2],
      ['registry_facade_http_requests_total{route="tags",code="200"}', 1],
      ['registry_facade_http_request_seconds_count{route="blob"}', 2],
      ["registry_facade_inflight_downloads", 0],
      ["registry_facade_upstream_resumes_total", 0],
    ] as const) {
      expect([sample, values.get(sample)]).toEqual([sample, value])
    }
  })

  test("a manifest is counted as one, whatever its tag", async () => {
    const sample = 'registry_facade_http_requests_total{route="manifest",code="200"}'
    const before = (await current()).get(sample) ?? 0
    await server.raw("GET", "/v2/fixed/a/manifests/v2")

    expect((await current()).get(sample)).toBe(before + 1)
  })

  test("what the store holds is told", async () => {
    await server.warm("a", layer)
    const stored = async () => (await current()).get("registry_facade_store_bytes") ?? 0

    await until(async () => (await stored()) >= layer.size)
    expect((await current()).get("registry_facade_store_evictions_total")).toBe(0)
  })

  test("clients that share a transfer are counted", async () => {
    const before = (await current()).get("registry_facade_coalesced_total") ?? 0
    const cold = opaqueLayer(9 * 1024 * 1024, mode === "source" ? 1 : 2)
    server.upstream.add("lab/b", "1", await image({ layers: [cold] }))
    server.facade.writeSpecs({ b: { baseRef: `${server.upstream.host}/lab/b:1` } })
    await server.eventually("/v2/fixed/b/manifests/latest", 200)
    const path = `/v2/fixed/b/blobs/${cold.digest}`
    await Promise.all(Array.from({ length: 5 }, async () => await server.raw("GET", path)))

    expect((await current()).get("registry_facade_coalesced_total")).toBe(before + 4)
    expect((await current()).get('registry_facade_config_reloads_total{result="success"}')).toBe(1)
  })

  test("every metric has help, a type and a name of this product", async () => {
    const text = (await scrape()).body.toString()
    const names = new Set([...samples(text).keys()].map((sample) => sample.replace(/\{.*/, "")))

    for (const name of names) {
      const family = name.replace(/_(?:bucket|sum|count)$/, "")
      expect(name).toMatch(/^(?:registry_facade|gitpod_registry_facade|process|go|http_(?:server|client)_requests)_/)
      expect(text).toMatch(new RegExp(`^# HELP ${family}(?:_count)? \\S`, "m"))
      expect(text).toMatch(new RegExp(`^# TYPE ${family}(?:_count)? (?:counter|gauge|histogram)$`, "m"))
    }
  })

  test("labels are of closed sets, whatever clients send", async () => {
    const before = (await current()).size
    for (let index = 0; index < 50; index += 1) {
      await server.raw("GET", `/v2/fixed/name${index}/manifests/tag${index}`)
      await server.raw("GET", `/path${index}/verb${index}/x`)
      await server.raw("GET", `/v2/x/blobs/sha256:${index}`)
    }

    expect((await current()).size - before).toBeLessThan(40)
  })

  test("is text for Prometheus, at /metrics alone", async () => {
    const answer = await scrape()

    expect([answer.status, answer.header("content-type")]).toEqual([200, "text/plain; version=0.0.4; charset=utf-8"])
    expect((await scrape("/")).status).toBe(404)
    expect((await scrape("/v2/")).status).toBe(404)
    expect((await scrape("/metrics", "HEAD")).status).toBe(200)
  })

  test("K5: is not on the registry's port", async () => {
    expect((await server.raw("GET", "/metrics")).status).toBe(404)
  })
})
