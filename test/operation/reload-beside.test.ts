import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { APPLIED, changeConfig, linesOf } from "../helpers/config-file.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer } from "../helpers/images.ts"
import { requireLogin, startTokenServer } from "../helpers/login-server.ts"
import { addressOf, PROBES } from "../helpers/operation.ts"
import { needs } from "../helpers/programs.ts"
import { SPEC_SERVER, startSpecServer } from "../helpers/spec-server.ts"
import { type SpecWeb, startSpecWeb } from "../helpers/spec-web.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const grpc = needs(SPEC_SERVER)
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"

let upstream: UpstreamServer
let webs: readonly SpecWeb[]
let facade: RunningFacade
let stopProbing: () => Promise<readonly number[]>
beforeEach(async () => {
  upstream = startUpstream()
  webs = [startSpecWeb(), startSpecWeb()]
  upstream.add("acme/base", "1", await image({ layers: [await layer({ a: "1" })] }))
  upstream.add("lab/tool", "1", await image({ layers: [await layer({ tool: "1" })] }))
})
afterEach(async () => {
  await stopProbing()
  await facade.stop()
  upstream.stop()
  for (const web of webs) web.stop()
})

const base = () => ({ baseRef: `${upstream.host}/acme/base:1` })
const tool = () => ({ type: "image", ref: `${upstream.host}/lab/tool:1` })
const [first, second] = [() => webs[0] as SpecWeb, () => webs[1] as SpecWeb]

/** A process that is ready, and is asked all the time from then on whether it still is. */
async function start(registry: NonNullable<FacadeOptions["registry"]> = {}) {
  const config = { readinessProbeAddr: "127.0.0.1:0" }
  const named = { [upstream.host]: {} } // specs of others may have it, too
  const settings = { tagTTL: "1h", upstreams: named, ...registry }
  facade = await startFacade({ mode: "binary", specs: { hello: base() }, config, registry: settings })
  const ready = `http://${await addressOf(facade, PROBES)}/ready`
  const ask = async () => (await fetch(ready)).status
  await until(async () => (await ask()) === 200)
  await until(() => facade.logs.some(({ message }) => String(message).startsWith("starting watch of file")))
  const answers: number[] = []
  let isOver = false
  const probing = (async () => {
    while (!isOver) answers.push(await ask())
  })()
  stopProbing = async () => {
    isOver = true
    await probing
    return [...new Set(answers)]
  }
}

const pull = async (name: string) => await facade.get(`/v2/${name}/manifests/latest`, { headers: { accept: MANIFEST } })
const layers = async (name = "fixed/hello"): Promise<number> => {
  const answer = await pull(name)
  if (answer.status !== 200) throw new Error(`${answer.status} ${await answer.text()}`)
  return ((await answer.json()) as { readonly layers: readonly unknown[] }).layers.length
}
const applied = async (count = 1) => await until(() => linesOf(facade, APPLIED).length === count)
const keys = () => linesOf(facade, APPLIED).map((line) => line["applied"])

/** Lets nobody have an answer about a repository until it is released. */
function hold(repository: string): { readonly isAsked: () => boolean; readonly release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let isAsked = false
  upstream.roles.push(async (_, { pathname }) => {
    if (!pathname.startsWith(`/v2/${repository}/`)) return null
    isAsked = true
    await promise
    return null
  })
  return { isAsked: () => isAsked, release: resolve }
}

describe("a change of the configuration of a process that is ready", () => {
  test("loads nothing again that has not changed, though it could not be had now", async () => {
    await start({ staticLayer: [tool()] })
    expect(await layers()).toBe(2)
    const held = hold("lab/tool")
    changeConfig(facade, { tagTTL: "2h", staleIfError: "2h" })
    await applied()

    expect(await layers()).toBe(2)
    expect(held.isAsked()).toBe(false)
    expect(await stopProbing()).toEqual([200])
    held.release()
  })

  test("is in use when all of it is there, and the old one until then", async () => {
    await start()
    const held = hold("lab/tool")
    changeConfig(facade, { staticLayer: [tool()], remoteSpecProvider: [{ url: first().url }], tagTTL: "2h" })
    await until(held.isAsked)
    expect(await layers()).toBe(1)
    expect(linesOf(facade, APPLIED)).toEqual([])
    held.release()
    await applied()

    expect(await layers()).toBe(2)
    expect(keys()).toEqual([["registry.remoteSpecProvider", "registry.staticLayer", "registry.tagTTL"]])
    expect(await stopProbing()).toEqual([200])
  })

  test("to other spec providers has them asked when they are there, and the old ones until then", async () => {
    first().answer(() => Response.json(base()))
    await start({ remoteSpecProvider: [{ url: first().url }] })
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    second().answer(async (name) => {
      await answered
      return name === "new" ? Response.json(base()) : new Response("", { status: 404 })
    })
    changeConfig(facade, { remoteSpecProvider: [{ url: second().url }] })
    await until(() => second().seen.length > 0)
    expect(await layers("remote/old")).toBe(1)
    answer()
    await applied()

    expect(await layers("remote/new")).toBe(1)
    expect(first().seen).not.toContain("/specs/new")
    expect(await stopProbing()).toEqual([200])
  })

  test("lets those finish who wait for an old spec provider", async () => {
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>()
    first().answer(async (name) => {
      if (name === "slow") await answered
      return name === "slow" ? Response.json(base()) : new Response("", { status: 404 })
    })
    await start({ remoteSpecProvider: [{ url: first().url }] })
    const slow = layers("remote/slow")
    await until(() => first().seen.includes("/specs/slow"))
    changeConfig(facade, { remoteSpecProvider: [{ url: second().url }] })
    await applied()
    answer()

    expect(await slow).toBe(1)
    expect(await stopProbing()).toEqual([200])
  })

  test.skipIf(grpc.isMissing)(`does so over gRPC${grpc.note}`, async () => {
    const specs = await startSpecServer({ answers: { slow: { spec: base(), delayMs: 1900 } } })
    await start({ remoteSpecProvider: [{ addr: specs.addr }] })
    const slow = layers("remote/slow")
    await until(() => specs.calls.includes("slow"))
    changeConfig(facade, { remoteSpecProvider: [{ url: second().url }] })
    await applied()

    expect(await slow).toBe(1)
    expect(specs.left).toEqual([])
    expect(await stopProbing()).toEqual([200])
    await specs.stop()
  })

  test.skipIf(grpc.isMissing)(
    `asks a spec provider that stays over the connection that there is${grpc.note}`,
    async () => {
      const specs = await startSpecServer({ answers: { one: { spec: base() } } })
      await start({ remoteSpecProvider: [{ addr: specs.addr }] })
      expect(await layers("remote/one")).toBe(1)
      const asked = specs.calls.length
      changeConfig(facade, { remoteSpecProvider: [{ addr: specs.addr }, { url: second().url }] })
      await applied()

      expect(specs.calls.slice(asked)).toEqual([]) // it was there a moment ago
      await specs.stop()
      expect(await layers("remote/one")).toBe(1) // by what it has said
    },
  )

  test("that cannot be used yet is told, and given up for a later one", async () => {
    await start()
    changeConfig(facade, { staticLayer: [{ type: "image", ref: `${upstream.host}/lab/none:1` }] })
    await until(() => linesOf(facade, "condition degraded").length === 1)
    const [told] = linesOf(facade, "condition degraded")
    expect(told?.["condition"]).toBe("configuration")
    expect(String(told?.["reason"])).toContain(`the changed one is not in use yet: static layers: cannot source layer`)
    changeConfig(facade, { staticLayer: [], tagTTL: "2h" })
    await applied()

    expect(keys()).toEqual([["registry.staticLayer", "registry.tagTTL"]])
    expect(await layers()).toBe(1)
    expect(linesOf(facade, "condition holds again")).toMatchObject([{ condition: "configuration" }])
    expect(await stopProbing()).toEqual([200])
  })

  test("keeps logins and tokens of hosts", async () => {
    const tokens = startTokenServer()
    requireLogin(upstream, `Bearer realm="${tokens.url}",service="lab"`, (authorization) =>
      tokens.tokens.includes(authorization.replace("Bearer ", "")),
    )
    await start()
    expect(await layers()).toBe(1)
    upstream.add("acme/base", "2", await image({ layers: [await layer({ a: "2" })] }))
    facade.writeSpecs({ next: { baseRef: `${upstream.host}/acme/base:2` } })
    await until(async () => (await pull("fixed/hello")).status === 404)
    const before = { asked: tokens.asked.length, seen: upstream.seen.length }
    changeConfig(facade, { allowedUpstreams: [`${upstream.host}/**`] })
    await until(() => keys().some((one) => String(one) === "registry.allowedUpstreams"))

    expect(await layers("fixed/next")).toBe(1)
    expect(tokens.asked).toHaveLength(before.asked)
    expect(upstream.seen.slice(before.seen).filter(({ headers }) => !headers.has("authorization"))).toEqual([])
    expect(await stopProbing()).toEqual([200])
    tokens.stop()
  })

  test("keeps what was read of images", async () => {
    await start()
    expect(await layers()).toBe(1)
    const seen = upstream.seen.length
    changeConfig(facade, { allowedUpstreams: [`${upstream.host}/**`], upstreams: {} })
    await applied()

    expect(await layers()).toBe(1)
    expect(upstream.seen).toHaveLength(seen)
  })

  test("leaves hosts alone that have asked for it", async () => {
    await start()
    const busy = () => new Response("", { status: 429, headers: { "retry-after": "600" } })
    upstream.roles.push(busy)
    expect((await pull("fixed/hello")).status).toBe(429)
    const seen = upstream.seen.length
    changeConfig(facade, { allowedUpstreams: [`${upstream.host}/**`] })
    await applied()

    expect((await pull("fixed/hello")).status).toBe(429)
    expect(upstream.seen).toHaveLength(seen)
  })

  test("that takes spec providers away takes away what they keep from being ready", async () => {
    await start({ remoteSpecProvider: [{ url: first().url }] })
    first().stop()
    const verbose = async () => {
      const text = await (await fetch(`http://${await addressOf(facade, PROBES)}/ready?verbose`)).text()
      return text.includes("spec providers")
    }
    expect(await verbose()).toBe(true)
    changeConfig(facade, { remoteSpecProvider: [] })
    await applied()

    expect(await verbose()).toBe(false)
  })
})
