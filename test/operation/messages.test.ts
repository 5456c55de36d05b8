import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, type TestImage } from "../helpers/images.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

let upstream: UpstreamServer
let base: TestImage
let facade: RunningFacade
beforeEach(async () => {
  upstream = startUpstream()
  base = await image({ layers: [await layer({ a: "1" })] })
  upstream.add("acme/base", "1", base)
})
afterEach(async () => {
  await facade?.stop()
  upstream.stop()
})

const baseRef = () => `${upstream.host}/acme/base:1`
const pinned = () => `${upstream.host}/acme/base@${base.manifest.digest}`
const start = async (specs: unknown, flags: readonly string[] = []) => {
  facade = await startFacade({ mode: "binary", specs, flags })
}
const refuse = (part: string, status = 403) =>
  upstream.roles.push((_, { pathname }) => (pathname.includes(part) ? new Response("", { status }) : null))
const pull = async () => await facade.get("/v2/fixed/it/manifests/latest")
const PHASES = ["cannot resolve", "cannot download manifest", "cannot download config", "cannot modify config"]
const phases = () => facade.logs.filter(({ message }) => PHASES.includes(String(message)))
const messages = () => facade.logs.map(({ message }) => message)

describe("the original's messages that alerts look for", () => {
  test("an image that its upstream refuses cannot be resolved", async () => {
    refuse("/manifests/")
    await start({ it: { baseRef: baseRef() } })
    expect((await pull()).status).toBe(403)

    await until(() => phases().length > 0)
    const [line] = phases()
    expect(line).toMatchObject({ message: "cannot resolve", severity: "ERROR", reference: baseRef() })
    expect(String(line?.["error"])).toContain(`${upstream.host} answered 403`)
    expect(phases()).toHaveLength(1)
  })

  test("a manifest of a digest cannot be downloaded", async () => {
    refuse("/manifests/")
    await start({ it: { baseRef: pinned() } })
    await pull()

    await until(() => phases().length > 0)
    expect(phases()).toMatchObject([
      { message: "cannot download manifest", severity: "ERROR", reference: pinned(), digest: base.manifest.digest },
    ])
  })

  test("a config cannot be downloaded", async () => {
    refuse("/blobs/")
    await start({ it: { baseRef: baseRef() } })
    await pull()

    await until(() => phases().length > 0)
    expect(phases()).toMatchObject([{ message: "cannot download config", severity: "ERROR", reference: baseRef() }])
  })

  test("a config cannot be modified", async () => {
    await start({ it: { baseRef: baseRef(), config: { env: { set: { HUGE: "x".repeat(5_000_000) } } } } })
    expect((await pull()).status).toBe(500)

    await until(() => phases().length > 0)
    expect(phases()).toMatchObject([{ message: "cannot modify config", severity: "ERROR", baseRef: baseRef() }])
  })

  test("a blob cannot be returned", async () => {
    const digest = base.layers[0]?.digest ?? ""
    refuse(`/blobs/${digest}`)
    await start({ it: { baseRef: baseRef() } })
    await pull()
    await facade.get(`/v2/fixed/it/blobs/${digest}`)

    await until(() => messages().includes("unable to return blob"))
    expect(facade.logs.filter(({ message }) => message === "unable to return blob")).toMatchObject([
      { severity: "ERROR", name: "fixed/it", digest, baseRef: `${upstream.host}/acme/base` },
    ])
  })

  test("nothing of it is said where nothing fails", async () => {
    await start({ it: { baseRef: baseRef() } })
    expect((await pull()).status).toBe(200)
    expect(phases()).toEqual([])
  })
})

describe("an upstream that is away", () => {
  test("is told once a minute, not once per pull", async () => {
    refuse("/manifests/", 503)
    const specs = Object.fromEntries(
      ["a", "b", "c"].map((name) => [name, { baseRef: `${upstream.host}/acme/${name}:1` }]),
    )
    await start(specs)
    const names = Object.keys(specs)
    const answers = await Promise.all(names.map(async (name) => await facade.get(`/v2/fixed/${name}/manifests/latest`)))
    expect(answers.map(({ status }) => status)).toEqual([503, 503, 503])

    const requests = () => facade.logs.filter(({ message, status }) => message === "request" && status === 503)
    await until(() => requests().length === names.length)
    for (const message of ["cannot resolve", "cannot get manifest"])
      expect(facade.logs.filter((line) => line["message"] === message)).toHaveLength(1)
  })
})
