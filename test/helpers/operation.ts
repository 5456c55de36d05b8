import type { RunningFacade } from "./facade.ts"
import { image, opaqueLayer, type TestLayer } from "./images.ts"
import { until } from "./until.ts"
import type { UpstreamServer } from "./upstream-server.ts"

/** host:port of a listener that says `message` when it is open. */
export async function addressOf({ logs }: RunningFacade, message: string): Promise<string> {
  await until(() => hasLogged(logs, message))
  return String(logs.find((line) => line["message"] === message)?.["addr"])
}

export const PROBES = "started readiness probe server"
export const METRICS = "started Prometheus metrics server"
export const DEBUG = "started debug server"

export const hasLogged = (logs: RunningFacade["logs"], message: string): boolean =>
  logs.some((line) => line["message"] === message)

export interface HeldTransfer {
  readonly spec: { readonly baseRef: string }
  readonly layer: TestLayer
  /** True once the facade asks for the layer. */
  isAsked(): boolean
  /** Lets the second half of the layer come. */
  release(): void
}

/** An image whose layer's second half comes when a test says so: the transfer of a slow night, in no time. */
export async function holdTransfer(upstream: UpstreamServer, size = 20_000_000): Promise<HeldTransfer> {
  const layer = opaqueLayer(size)
  upstream.add("acme/slow", "1", await image({ layers: [layer] }))
  const { promise: released, resolve: release } = Promise.withResolvers<void>()
  let isAsked = false
  upstream.roles.push(({ method }, { pathname }) => {
    if (method !== "GET" || !pathname.endsWith(layer.digest)) return null
    isAsked = true
    const half = size / 2
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(layer.bytes.subarray(0, half))
        await released
        controller.enqueue(layer.bytes.subarray(half))
        controller.close()
      },
    })
    return new Response(body, { headers: { "content-type": layer.mediaType } })
  })
  return { spec: { baseRef: `${upstream.host}/acme/slow:1` }, layer, isAsked: () => isAsked, release }
}
