import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, type TestImage } from "../helpers/images.ts"
import { hasLogged, holdTransfer } from "../helpers/operation.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly endTimeUnixNano: string
  readonly status: { readonly code?: number; readonly message?: string }
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[]
}
interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Span["attributes"] }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}

const TRACE = "0af7651916cd43dd8448eb211c80319c"
const PARENT = "b7ad6b7169203331"
const SERVER = 2
const CLIENT = 3

let batches: Batch[]
let requests: Request[]
let answer: (request: Request) => Response | Promise<Response>
let collector: ReturnType<typeof Bun.serve>
let upstream: UpstreamServer
let base: TestImage
let facade: RunningFacade
beforeEach(async () => {
  batches = []
  requests = []
  answer = () => Response.json({})
  collector = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      requests.push(request)
      const isSpans =
        new URL(request.url).pathname.endsWith("/traces") && request.headers.get("content-type") === "application/json"
      if (isSpans) batches.push((await request.json()) as Batch)
      return await answer(request)
    },
  })
  upstream = startUpstream()
  base = await image({ layers: [await layer({ a: "1" })] })
  upstream.add("acme/base", "1", base)
})
afterEach(async () => {
  await facade.stop()
  upstream.stop()
  await collector.stop(true)
})

const specs = () => ({ hello: { baseRef: `${upstream.host}/acme/base:1` } })
const endpoint = () => `http://127.0.0.1:${collector.port}/`
async function start(tracing: Readonly<Record<string, unknown>> = {}, more: unknown = {}) {
  const config = { tracing: { otlpEndpoint: endpoint(), ...tracing } }
  facade = await startFacade({ mode: "binary", specs: { ...specs(), ...(more as object) }, config })
}
/** As the environment of a pod has it. */
async function startWith(env: Readonly<Record<string, string>>, config: Readonly<Record<string, unknown>> = {}) {
  facade = await startFacade({ mode: "binary", specs: specs(), config, env })
}
const pull = async (flags = "01") => {
  const headers = { traceparent: `00-${TRACE}-${PARENT}-${flags}` }
  const manifest = await facade.get("/v2/fixed/hello/manifests/latest?secret=hunter2", { headers })
  const blob = await facade.get(`/v2/fixed/hello/blobs/${base.layers[0]?.digest}`)
  await blob.bytes()
  return [manifest.status, blob.status]
}
const spans = () =>
  batches.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  )
const named = (name: string) => spans().filter((span) => span.name === name)
const attributeOf = ({ attributes }: Pick<Span, "attributes">, key: string) =>
  Object.values(attributes.find((attribute) => attribute.key === key)?.value ?? {})[0]

describe("tracing", () => {
  test("sends a span for each request, by the original's names, inside the client's span", async () => {
    await start()
    await pull()
    await until(() => named("getManifest").length > 0 && named("getBlob").length > 0)

    const [manifest] = named("getManifest")
    expect(manifest).toMatchObject({ traceId: TRACE, parentSpanId: PARENT, kind: SERVER })
    expect(manifest && attributeOf(manifest, "http.response.status_code")).toBe(200)
    expect(manifest && attributeOf(manifest, "url.path")).toBe("/v2/fixed/hello/manifests/latest")
    expect(named("getBlob")[0]?.traceId).not.toBe(TRACE)
    const [resource] = batches[0]?.resourceSpans ?? []
    expect(resource && attributeOf(resource.resource, "service.name")).toBe("registry-facade")
    expect(JSON.stringify(batches)).not.toContain("hunter2")
  })

  test("has a span for each question to an upstream inside it, and tells the upstream", async () => {
    await start()
    await pull()
    await until(() => spans().some(({ kind, traceId }) => kind === CLIENT && traceId === TRACE))

    const asked = upstream.seen.find(({ path }) => path.includes("/manifests/"))
    const [, traceId, spanId, flags] = asked?.headers.get("traceparent")?.split("-") ?? []
    expect([traceId, flags]).toEqual([TRACE, "01"])
    await until(() => spans().some((span) => span.spanId === spanId))
    const client = spans().find((span) => span.spanId === spanId)
    expect(client?.parentSpanId).toBe(named("getManifest")[0]?.spanId ?? "")
  })

  test("goes on until the last byte of a transfer, for the client's span and for the upstream's", async () => {
    const transfer = await holdTransfer(upstream)
    await start({}, { slow: transfer.spec })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const blob = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    await until(() => spans().some((span) => span.kind === CLIENT))
    const releasedAt = Date.now()
    transfer.release()
    await blob.bytes()
    await until(() => named("getBlob").length > 0)

    const [served] = named("getBlob")
    const fetched = spans().filter((span) => String(attributeOf(span, "url.full")).endsWith(transfer.layer.digest))
    expect(served && attributeOf(served, "http.response.body.size")).toBe(transfer.layer.size)
    expect(fetched).toHaveLength(1)
    for (const span of [served, ...fetched])
      expect(Number(span?.endTimeUnixNano) / 1e6).toBeGreaterThanOrEqual(releasedAt)
  })

  test("tells of a client that left its answer", async () => {
    const transfer = await holdTransfer(upstream)
    await start({}, { slow: transfer.spec })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const leave = new AbortController()
    await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`, { signal: leave.signal })
    leave.abort()
    await until(() => named("getBlob").length > 0)

    expect(named("getBlob")[0]?.status).toEqual({ code: 2, message: "The client has left" })
    transfer.release()
  })

  test("is turned on by the environment, with headers for the collector that nobody else sees", async () => {
    const headers = "api-key=hunter2%20%3D%2C, x-tenant = acme"
    await startWith({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint(), OTEL_EXPORTER_OTLP_HEADERS: headers })
    await pull()
    await until(() => named("getManifest").length > 0)

    const [request] = requests
    expect(request && new URL(request.url).pathname).toBe("/v1/traces")
    expect(request?.headers.get("api-key")).toBe("hunter2 =,")
    expect(request?.headers.get("x-tenant")).toBe("acme")
    expect(request?.headers.get("content-type")).toBe("application/json")
    expect(JSON.stringify([facade.logs, upstream.seen.map((seen) => [...seen.headers])])).not.toContain("hunter2")
  })

  test("takes what the environment says of traces alone before what it says of everything", async () => {
    await startWith({
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_HEADERS: "x-all=1",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint()}own/traces`,
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-traces=1",
    })
    await pull()
    await until(() => named("getManifest").length > 0)

    const [request] = requests
    expect(request && new URL(request.url).pathname).toBe("/own/traces")
    expect([request?.headers.get("x-traces"), request?.headers.get("x-all")]).toEqual(["1", null])
  })

  test("goes where the configuration says, whatever the environment does, and nowhere where that turns it off", async () => {
    await startWith({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" }, { tracing: { otlpEndpoint: endpoint() } })
    await pull()
    await until(() => named("getManifest").length > 0)
    await facade.stop()
    batches = []

    await startWith({ OTEL_SDK_DISABLED: "true" }, { tracing: { otlpEndpoint: endpoint() } })
    await pull()
    process.kill(facade.pid ?? 0, "SIGTERM")
    await facade.exited
    expect(batches).toEqual([])
  })

  test("starts without what the environment says wrongly, and tells it without its values", async () => {
    await startWith({
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint(),
      OTEL_EXPORTER_OTLP_HEADERS: "hunter2,x%0A=hunter2,x-good=1,y=a%0Ahunter2",
    })
    await pull()
    await until(() => named("getManifest").length > 0)

    expect(requests[0]?.headers.get("x-good")).toBe("1")
    const told = facade.logs.filter(({ message }) => message === "cannot use a setting of the environment for spans")
    const at = (place: number) =>
      `OTEL_EXPORTER_OTLP_HEADERS has no usable header at place ${place}, expected name=value`
    expect(told.map(({ problem }) => problem)).toEqual([at(1), at(2), at(4)])
    expect(JSON.stringify(facade.logs)).not.toContain("hunter2")
  })

  test.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" }, "OTEL_EXPORTER_OTLP_ENDPOINT is no http or https URL"],
    [
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://127.0.0.1:4317", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      "OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and spans are sent over HTTP alone",
    ],
  ])("is off where the environment names no collector that can be used: %j", async (env, problem) => {
    await startWith(env)
    expect(await pull()).toEqual([200, 200])
    expect(facade.logs.find((line) => line["problem"] !== undefined)?.["problem"]).toBe(problem)
    expect(hasLogged(facade.logs, "sending spans to an OpenTelemetry collector")).toBe(false)
  })

  test("records nothing of a trace that its client does not record, and less of the others as told", async () => {
    await start({ sampleRatio: 0 })
    expect(await pull("00")).toEqual([200, 200])
    await pull("01")
    await until(() => spans().length > 0)

    expect(new Set(spans().map(({ traceId }) => traceId))).toEqual(new Set([TRACE]))
    expect(named("getManifest")).toHaveLength(1)
  })

  test("costs pulls nothing while the collector hangs, and says so once", async () => {
    await start()
    answer = () => new Promise(() => {})
    const startedAt = performance.now()
    for (let round = 0; round < 20; round += 1) expect(await pull()).toEqual([200, 200])
    expect(performance.now() - startedAt).toBeLessThan(5000)
    await until(() => hasLogged(facade.logs, "cannot send spans, they are dropped until it works"), 30_000)

    expect(await pull()).toEqual([200, 200])
    expect(facade.logs.filter(({ message }) => String(message).startsWith("cannot send spans"))).toHaveLength(1)
  })

  test("goes on after the collector was away", async () => {
    await start()
    answer = () => new Response(null, { status: 503 })
    await pull()
    await until(() => hasLogged(facade.logs, "cannot send spans, they are dropped until it works"), 30_000)
    answer = () => Response.json({})
    await pull()
    await until(() => hasLogged(facade.logs, "spans are sent again"), 30_000)
  })

  test("sends what is left when the process ends", async () => {
    await start()
    await pull()
    process.kill(facade.pid ?? 0, "SIGTERM")
    await facade.exited

    expect(named("getManifest")).toHaveLength(1)
  })
})
