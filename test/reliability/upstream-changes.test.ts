import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { image, opaqueLayer, sha256, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import type { ErrorBody } from "../helpers/pull-server.ts"
import { scrape } from "../helpers/scrape.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let upstream: UpstreamServer
let dir: string
let metrics: string
let facade: RunningFacade
let first: TestImage
let second: TestImage
beforeEach(async () => {
  upstream = startUpstream()
  dir = tempDir()
  metrics = `127.0.0.1:${freePort()}`
  first = await image({ layers: [opaqueLayer(30_000, 1)], settings: { Labels: { version: "1" } } })
  second = await image({ layers: [opaqueLayer(30_000, 2)], settings: { Labels: { version: "2" } } })
  upstream.add("lab/app", "1", first)
})
afterEach(async () => {
  await facade.stop()
  upstream.stop()
})

/** Tags are asked for with every request, unless told otherwise. */
async function start(options: FacadeOptions = {}): Promise<void> {
  const specs = { app: { baseRef: `${upstream.host}/lab/app:1` } }
  const config = { prometheusAddr: metrics, ...options.config }
  const registry = { tagTTL: "0s", ...options.registry }
  facade = await startFacade({ dir, specs, tuning: IMPATIENT, ...options, config, registry })
}

interface Manifest {
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string }[]
}
const get = async (path: string) => await facade.get(`/v2/fixed/app/${path}`)
const manifest = async () => (await (await get("manifests/latest")).json()) as Manifest
const version = async ({ config }: Pick<Manifest, "config">) => {
  const document = (await (await get(`blobs/${config.digest}`)).json()) as { config: { Labels: { version: string } } }
  return document.config.Labels.version
}
const blob = async (digest: string) => sha256(new Uint8Array(await (await get(`blobs/${digest}`)).arrayBuffer()))
const isStored = (digest: string) =>
  readdirSync(join(dir, "store"), { recursive: true, encoding: "utf8" }).some((path) => path.endsWith(digest.slice(7)))
const staleServed = async () => (await scrape(metrics)).get("stale_served_total") ?? 0
const down = () => new Response(null, { status: 500 })

describe("a tag that moves", () => {
  test("D-13: is seen when its time is over, and not before", async () => {
    await start({ registry: { tagTTL: "1h" } })
    expect(await version(await manifest())).toBe("1")
    upstream.add("lab/app", "1", second)
    expect(await version(await manifest())).toBe("1")
    await facade.stop()
    await start()

    expect(await version(await manifest())).toBe("2")
  })

  test("D-13: is asked for with HEAD, and fetched only when it has moved", async () => {
    await start()
    for (let pulls = 0; pulls < 3; pulls += 1) await manifest()
    const methods = () => upstream.seen.filter(({ path }) => path.endsWith("/manifests/1")).map(({ method }) => method)
    expect(methods()).toEqual(["GET", "HEAD", "HEAD"])
    upstream.add("lab/app", "1", second)
    await manifest()

    expect(methods()).toEqual(["GET", "HEAD", "HEAD", "HEAD", "GET"])
  })

  test("B6: back and forth, every client gets an image whose parts belong together, to its end", async () => {
    await start()
    let moves = 0
    upstream.roles.push((request, { pathname }) => {
      if (!pathname.endsWith("/manifests/1")) return null
      moves += 1
      return contentResponse(request, (moves % 6 < 3 ? second : first).manifest)
    })
    upstream.add("lab/app", "2", second)
    const rest = async ({ config, layers }: Manifest) => [
      await version({ config }),
      ...(await Promise.all(layers.map(({ digest }) => blob(digest)))),
    ]
    const pulls: Promise<string[]>[] = []
    for (let clients = 0; clients < 30; clients += 1) pulls.push(rest(await manifest()))
    const pulled = await Promise.all(pulls)

    const expected = new Map([
      ["1", first.layers[0]?.digest],
      ["2", second.layers[0]?.digest],
    ])
    expect(new Set(pulled.map(([label]) => label)).size).toBe(2)
    for (const [label = "", ...digests] of pulled) expect(digests).toEqual([expected.get(label) ?? ""])
  })
})

describe("what an upstream no longer has", () => {
  test("B8: a tag that is gone is gone, whatever is known of it", async () => {
    await start()
    const { layers } = await manifest()
    upstream.removeTag("lab/app", "1")
    const answer = await get("manifests/latest")

    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain(`Cannot find image ${upstream.host}/lab/app:1`)
    expect(await blob(layers[0]?.digest ?? "")).toBe(layers[0]?.digest ?? "")
    upstream.roles.push(down)
    expect((await get("manifests/latest")).status).toBe(503)
    expect(await staleServed()).toBe(0)
  })

  test("B8: what was pulled under a name stays there while it is in use", async () => {
    await start({ registry: { tagTTL: "1h" } })
    const answer = await get("manifests/latest")
    const digest = answer.headers.get("docker-content-digest")
    const { layers } = (await answer.json()) as Manifest
    await blob(layers[0]?.digest ?? "")
    upstream.removeTag("lab/app", "1")
    upstream.roles.push(() => new Response(null, { status: 404 }))

    expect((await get(`manifests/${digest}`)).status).toBe(200)
    expect(await blob(layers[0]?.digest ?? "")).toBe(layers[0]?.digest ?? "")
  })
})

describe("registries that do less than they should", () => {
  test.each([
    ["refuses HEAD with 405", () => new Response(null, { status: 405 })],
    ["knows no HEAD, 501", () => new Response(null, { status: 501 })],
    ["tells no digest", () => new Response(null, { headers: { "content-type": "application/json" } })],
    [
      "tells something that is no digest",
      () => new Response(null, { headers: { "docker-content-digest": "sha256:x" } }),
    ],
  ])("B9: one that %s is asked with GET", async (_, answer) => {
    upstream.roles.push((request) => (request.method === "HEAD" ? answer() : null))
    await start()
    expect(await version(await manifest())).toBe("1")
    upstream.add("lab/app", "1", second)

    expect(await version(await manifest())).toBe("2")
  })

  test("B7: a digest in the header that is not the content's is a fault, and nothing of it is kept", async () => {
    let isLying = true
    upstream.roles.push((request, { pathname }) => {
      if (!isLying || !pathname.endsWith("/manifests/1")) return null
      const honest = contentResponse(request, first.manifest)
      honest.headers.set("docker-content-digest", second.manifest.digest)
      return honest
    })
    await start()
    const answer = await get("manifests/latest")
    expect([answer.status, ((await answer.json()) as ErrorBody).errors[0]?.detail]).toEqual([502, "upstream_integrity"])
    isLying = false

    expect(await version(await manifest())).toBe("1")
  })

  test("B10: a login page in place of content is told, and nothing of it is kept", async () => {
    const page = () => new Response("<html>Welcome to this hotel</html>", { headers: { "content-type": "text/html" } })
    let isPortal = true
    upstream.roles.push(() => (isPortal ? page() : null))
    await start()
    const answer = await get("manifests/latest")
    expect(answer.status).toBe(502)
    expect(await answer.text()).toContain("it is a web page; is the host a registry?")
    isPortal = false
    const { layers } = await manifest()
    isPortal = true
    expect((await get(`blobs/${layers[0]?.digest}`)).status).toBe(503)
    isPortal = false

    await until(async () => (await get(`blobs/${layers[0]?.digest}`)).status === 200) // a failure is remembered for a moment
    expect(await blob(layers[0]?.digest ?? "")).toBe(layers[0]?.digest ?? "")
  })
})

describe("an upstream that is down", () => {
  const failures: readonly (readonly [string, () => void])[] = [
    ["answers 500", () => void upstream.roles.push(down)],
    ["cannot be reached", () => upstream.stop()],
  ]

  test.each(failures)("B11, D-13: one that %s costs nobody what is known", async (_, fail) => {
    await start()
    const { layers } = await manifest()
    const digest = layers[0]?.digest ?? ""
    await blob(digest)
    expect((await get("manifests/latest")).headers.get("warning")).toBeNull()
    fail()
    const answer = await get("manifests/latest")

    expect(answer.status).toBe(200)
    expect(answer.headers.get("warning")).toStartWith("299 - ")
    expect(answer.headers.get("warning")).toContain(`${upstream.host}/lab/app:1`)
    expect(await version((await answer.json()) as Manifest)).toBe("1")
    expect(await blob(digest)).toBe(digest)
    expect(await staleServed()).toBe(1)
  })

  test("B11: nor does a start of the facade in between", async () => {
    await start()
    const { layers } = await manifest()
    const digest = layers[0]?.digest ?? ""
    await blob(digest)
    await until(() => isStored(digest))
    await facade.stop()
    upstream.stop()
    await start()
    const answer = await get("manifests/latest")

    expect([answer.status, answer.headers.get("warning")?.slice(0, 6)]).toEqual([200, "299 - "])
    expect(await blob(digest)).toBe(digest)
  })

  test("B11: it is asked again soon, and the warning ends with the trouble", async () => {
    await start({ tuning: { ...IMPATIENT, documents: { ...IMPATIENT.documents, staleAgainMs: 0 } } })
    await manifest()
    upstream.roles.push(down)
    expect((await get("manifests/latest")).headers.get("warning")).not.toBeNull()
    upstream.roles.pop()
    upstream.add("lab/app", "1", second)
    const answer = await get("manifests/latest")

    expect(answer.headers.get("warning")).toBeNull()
    expect(await version((await answer.json()) as Manifest)).toBe("2")
  })

  test("B11: what was never known is told as it is", async () => {
    upstream.roles.push(down)
    await start()
    const answer = await get("manifests/latest")

    expect(answer.status).toBe(503)
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0)
    expect(await answer.text()).toContain(
      `Cannot get manifest ${upstream.host}/lab/app:1: ${upstream.host} answered 500`,
    )
  })

  test("B11: what was known is not served for ever", async () => {
    await start({ registry: { staleIfError: "0s" } })
    await manifest()
    upstream.roles.push(down)

    expect((await get("manifests/latest")).status).toBe(503)
  })

  test("E3: one that refuses us is not down: access that was taken away is taken away", async () => {
    await start()
    await manifest()
    for (const status of [401, 403]) {
      upstream.roles.push(() => new Response(null, { status }))
      expect((await get("manifests/latest")).status).toBe(403)
    }
    expect(await staleServed()).toBe(0)
  })

  test("B11: one that hangs keeps nobody waiting for long who could have what is known", async () => {
    const documents = { ...IMPATIENT.documents, staleAfterMs: 200, staleAgainMs: 0 }
    await start({ tuning: { ...IMPATIENT, documents } })
    await manifest()
    const { length } = upstream.seen
    upstream.roles.push(() => new Promise(() => {}))
    const started = performance.now()
    const answer = await get("manifests/latest")

    expect([answer.status, answer.headers.get("warning")?.slice(0, 6)]).toEqual([200, "299 - "])
    expect(performance.now() - started).toBeLessThan(4000)
    expect((await get("manifests/latest")).status).toBe(200)
    expect(upstream.seen.slice(length).map(({ method }) => method)).toEqual(["HEAD"]) // which is still waited for
  })
})
