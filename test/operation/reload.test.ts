import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { APPLIED, type ConfigKeys, changeConfig, linesOf } from "../helpers/config-file.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, sha256 } from "../helpers/images.ts"
import { addressOf, hasLogged, holdTransfer, METRICS } from "../helpers/operation.ts"
import { scrape } from "../helpers/scrape.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const REFUSED = "cannot use changed configuration, the old one stays in use"
const RESTART = "changes of the configuration that need a restart"

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

const start = async (specs: unknown = { hello: { baseRef: `${upstream.host}/acme/base:1` } }) => {
  const config = { prometheusAddr: "127.0.0.1:0" }
  facade = await startFacade({ mode: "binary", specs, config, registry: { tagTTL: "1h" } })
  mkdirSync(join(facade.dir, "tool"))
  writeFileSync(join(facade.dir, "tool/run"), "x")
  await until(() => facade.logs.some(({ message }) => String(message).startsWith("starting watch of file")))
}
const file = () => join(facade.dir, "config.json")
const registryOf = () => JSON.parse(readFileSync(file(), "utf8")).registry
const change = (registry: ConfigKeys, top: ConfigKeys = {}) => changeConfig(facade, registry, top)
const logged = (message: string) => linesOf(facade, message)
const digests = async (): Promise<readonly string[]> => {
  const accept = "application/vnd.oci.image.manifest.v1+json"
  const answer = await facade.get("/v2/fixed/hello/manifests/latest", { headers: { accept } })
  const { layers } = (await answer.json()) as { readonly layers: readonly { readonly digest: string }[] }
  return layers.map(({ digest }) => digest)
}
const layers = async (): Promise<number> => (await digests()).length
const blob = async (digest: string) => await facade.get(`/v2/fixed/hello/blobs/${digest}`)
/** The layers of the image when another directory is added to every image in place of those before. */
async function withTool(name: string) {
  const count = logged(APPLIED).length
  mkdirSync(join(facade.dir, name))
  writeFileSync(join(facade.dir, name, name), name)
  change({ staticLayer: [{ type: "dir", ref: name }] })
  await until(() => logged(APPLIED).length > count)
  return { digests: await digests() }
}
const reloads = async () => {
  const text = await (await fetch(`http://${await addressOf(facade, METRICS)}/metrics`)).text()
  const count = (result: string) =>
    Number(new RegExp(`config_reloads_total{result="${result}"} (\\d+)`).exec(text)?.[1] ?? 0)
  return [count("success"), count("failure")]
}

describe("a change of the configuration's file", () => {
  test("adds a static layer without a restart", async () => {
    await start()
    expect(await layers()).toBe(1)
    change({ staticLayer: [{ type: "dir", ref: "tool" }] })
    await until(() => hasLogged(facade.logs, APPLIED))

    await until(async () => (await layers()) === 2) // once it is loaded
    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["registry.staticLayer"])
    expect(await reloads()).toEqual([1, 0])
  })

  test("A-17, A-18, A-20: to other static layers has images consist of these alone", async () => {
    await start()
    const one = await withTool("one")
    const two = await withTool("two")

    expect(two.digests).toHaveLength(2)
    expect(two.digests[1]).not.toBe(one.digests[1])
    for (const digest of two.digests) expect((await blob(digest)).status).toBe(200)
  })

  test("A-15, A-19: leaves the layers of those that were before to pulls that began with them", async () => {
    await start()
    const [, digest = ""] = (await withTool("one")).digests
    await withTool("two")
    rmSync(join(facade.dir, "one"), { recursive: true })
    const answer = await blob(digest)

    expect([answer.status, sha256(await answer.bytes())]).toEqual([200, digest])
  })

  test("A-16: makes no blob known that belongs to none of them", async () => {
    await start()
    await withTool("one")
    const answer = await blob(`sha256:${"0".repeat(64)}`)

    expect(answer.status).toBe(404)
    expect(await answer.text()).toContain('"BLOB_UNKNOWN"')
  })

  test("D-2 leaves what was served before readable by its digest", async () => {
    await start()
    const before = await facade.get("/v2/fixed/hello/manifests/latest", { method: "HEAD" })
    const digest = before.headers.get("docker-content-digest") ?? ""
    change({ staticLayer: [{ type: "dir", ref: "tool" }] })
    await until(async () => (await layers()) === 2)

    const old = await facade.get(`/v2/fixed/hello/manifests/${digest}`)

    expect(old.status).toBe(200)
    expect(sha256(await old.bytes())).toBe(digest)
  })

  test("does not touch a transfer that runs", async () => {
    const transfer = await holdTransfer(upstream)
    await start({ slow: transfer.spec })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const pull = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    change({ tagTTL: "2h", allowedUpstreams: ["example.com/**"] })
    await until(() => hasLogged(facade.logs, APPLIED))
    transfer.release()

    expect(sha256(await pull.bytes())).toBe(transfer.layer.digest)
  })

  test("takes a new rule about upstreams", async () => {
    await start()
    expect(await layers()).toBe(1)
    change({ allowedUpstreams: ["example.com/**"] })
    await until(() => hasLogged(facade.logs, APPLIED))

    expect((await facade.get("/v2/fixed/hello/manifests/latest")).status).toBe(403)
  })

  test("that is wrong is refused with its reason, and the old one stays", async () => {
    await start()
    const { port } = registryOf()
    writeFileSync(file(), JSON.stringify({ registry: { port, tagTLT: "1s" } }))
    await until(() => hasLogged(facade.logs, REFUSED))

    expect(String(logged(REFUSED)[0]?.["error"])).toContain("registry.tagTLT: unknown key")
    expect(await layers()).toBe(1)
    expect(await reloads()).toEqual([0, 1])
  })

  test("I4: that is written in two halves is taken once it is whole", async () => {
    await start()
    const config = readFileSync(file(), "utf8").replace('"1h"', '"2h"')
    writeFileSync(file(), config.slice(0, config.length / 2))
    await until(() => hasLogged(facade.logs, REFUSED))
    writeFileSync(file(), config)
    await until(() => hasLogged(facade.logs, APPLIED))

    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["registry.tagTTL"])
    expect(await layers()).toBe(1)
  })

  test("that names a file which is not there is refused as a whole", async () => {
    await start()
    change({ fixedSpecFN: "none.json", allowedUpstreams: ["example.com/**"] })
    await until(() => hasLogged(facade.logs, REFUSED))

    expect(String(logged(REFUSED)[0]?.["error"])).toContain("none.json")
    expect(await layers()).toBe(1)
    expect(await reloads()).toEqual([0, 1])
  })

  test("that names a file which is not there is applied as soon as the file is, and told once until then", async () => {
    await start()
    change({ fixedSpecFN: "later.json", tagTTL: "2h" })
    await until(() => hasLogged(facade.logs, REFUSED))
    writeFileSync(join(facade.dir, "later.json"), "{")
    await until(() => logged(REFUSED).length === 2)
    writeFileSync(join(facade.dir, "later.json"), JSON.stringify({ late: { baseRef: `${upstream.host}/acme/base:1` } }))
    await until(() => hasLogged(facade.logs, APPLIED))

    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["registry.fixedSpecFN", "registry.tagTTL"])
    expect((await facade.get("/v2/fixed/late/manifests/latest")).status).toBe(200)
    expect(await reloads()).toEqual([1, 2])
  })

  test("that was refused is forgotten when another takes its place", async () => {
    await start()
    change({ fixedSpecFN: "later.json" })
    await until(() => hasLogged(facade.logs, REFUSED))
    change({ fixedSpecFN: "specs.json", staleIfError: "1h" })
    await until(() => hasLogged(facade.logs, APPLIED))
    writeFileSync(join(facade.dir, "later.json"), "{}")
    change({ fixedSpecFN: "specs.json", staleIfError: "2h" })
    await until(() => logged(APPLIED).length === 2)

    expect(await layers()).toBe(1)
    expect(await reloads()).toEqual([2, 1])
  })

  test("says which changed keys need a restart, and applies the others", async () => {
    await start()
    change({ store: "elsewhere", staleIfError: "1h" }, { pprofAddr: "127.0.0.1:0" })
    await until(() => hasLogged(facade.logs, RESTART))

    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["registry.staleIfError"])
    expect(logged(RESTART)[0]?.["keys"]).toEqual(["pprofAddr", "registry.store"])
    expect(await layers()).toBe(1)
  })

  test("A10: tells no more that a host is left alone which it does not name any more", async () => {
    await start()
    change({ upstreams: { [upstream.host]: {} }, tagTTL: "0s", staleIfError: "0s" })
    await until(() => logged(APPLIED).length === 1)
    upstream.roles.push(() => new Response(null, { status: 500 }))
    const isOpen = async () =>
      (await scrape(await addressOf(facade, METRICS))).get(`breaker_open{dependency="${upstream.host}"}`)
    await until(async () => {
      await facade.get("/v2/fixed/hello/manifests/latest")
      return (await isOpen()) === 1
    })
    change({ upstreams: {} })
    await until(() => logged(APPLIED).length === 2)

    expect(await isOpen()).toBeUndefined()
  })

  test("takes new patience for the end", async () => {
    await start()
    change({}, { shutdown: { delay: "60s", grace: "1s" } })
    await until(() => hasLogged(facade.logs, APPLIED))
    process.kill(facade.pid ?? 0, "SIGTERM")
    await until(() => hasLogged(facade.logs, "shutting down, not ready any more"))

    expect(logged("shutting down, not ready any more")[0]).toMatchObject({ delayMs: 60_000, graceMs: 1000 })
  })
})
