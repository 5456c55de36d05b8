import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, type TestImage } from "../helpers/images.ts"
import { hasLogged } from "../helpers/operation.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
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
let answer: (request: Request) => Response | Promise<Response>
let collector: ReturnType<typeof Bun.serve>
let upstream: UpstreamServer
let base: TestImage
let facade: RunningFacade
beforeEach(async () => {
  batches = []
  answer = () => Response.json({})
  collector = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const { pathname } = new URL(request.url)
      const isSpans = pathname === "/v1/traces" && request.headers.get("content-type") === "application/json"
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

async function start(tracing: Readonly<Record<string, unknown>> = {}) {
  const specs = { hello: { baseRef: `${upstream.host}/acme/base:1` } }
  const config = { tracing: { otlpEndpoint: `http://127.0.0.1:${collector.port}/`, ...tracing } }
  facade = await startFacade({ mode: "binary", specs, config })
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
