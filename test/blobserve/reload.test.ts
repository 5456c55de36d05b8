import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Mode } from "../helpers/facade.ts"
import { type FileServer, type FileServerOptions, startFiles } from "../helpers/files.ts"
import { image, layer } from "../helpers/images.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const REFUSED = "cannot use changed configuration, the old one stays in use"
const APPLIED = "reloading file after change"
const RESTART = "changes of the configuration that need a restart"

describe.each(["source", "binary"] as Mode[])("a change of blobserve's configuration, from %s", (mode) => {
  let upstream: UpstreamServer
  let server: FileServer

  beforeEach(async () => {
    upstream = startUpstream()
    const layers = [await layer({ "app/f": "low", "app/index.html": "aaa" }), await layer({ "app/f": "high" })]
    upstream.add("lab/app", "1", await image({ layers }))
    upstream.add("lab/other", "1", await image({ layers: [await layer({ f: "other" })] }))
  })
  afterEach(async () => {
    await server.stop()
    upstream.stop()
  })

  const repo = (name: string): string => `${upstream.host}/lab/${name}`
  const start = async (blobserve: Readonly<Record<string, unknown>>, config: FileServerOptions["config"] = {}) => {
    server = await startFiles({ mode, isFollowing: true, blobserve, config })
    await until(() => server.logs.some(({ message }) => String(message).startsWith("starting watch of file")))
  }
  const logged = (message: string) => server.logs.filter((line) => line["message"] === message)
  const applied = async () => await until(() => logged(APPLIED).length > 0)
  const text = async (path: string) => await server.text(`/${path}`)
  const status = async (path: string) => (await server.get(`/${path}`)).status

  test("of a repository's settings holds for the next request, also for a file that was just asked for", async () => {
    await start({ repos: { [repo("app")]: {} } })
    await until(async () => (await text(`${repo("app")}:1/app/f`)) === "low")
    server.configure({ repos: { [repo("app")]: { layers: "all", workdir: "/app", cors: ["*"] } } })
    await applied()

    expect(await text(`${repo("app")}:1/f`)).toBe("high")
    const page = await server.get(`/${repo("app")}:1/index.html`)
    expect([await page.text(), page.headers.get("access-control-allow-origin")]).toEqual(["aaa", "*"])
    expect(await status(`${repo("app")}:1/app/f`)).toBe(404)
    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["blobserve.repos"])
    expect(logged(RESTART)).toEqual([])
  })

  test("adds and removes repositories", async () => {
    await start({ repos: { [repo("app")]: {} } })
    expect(await status(`${repo("other")}:1/f`)).toBe(403)
    await until(async () => (await text(`${repo("app")}:1/app/f`)) === "low")
    server.configure({ repos: { [repo("other")]: {} } })
    await applied()

    expect(await text(`${repo("other")}:1/f`)).toBe("other")
    expect(await status(`${repo("app")}:1/app/f`)).toBe(403)
  })

  test("of allowAnyRepo and timeout holds at once, and one of the port is told to need a restart", async () => {
    await start({ repos: {} })
    expect(await status("ghcr.invalid/lab/x:1/f")).toBe(403)
    server.configure({ allowAnyRepo: true, timeout: "3s", port: 1 })
    await applied()

    expect(await status("ghcr.invalid/lab/x:1/f")).not.toBe(403)
    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["blobserve.allowAnyRepo", "blobserve.timeout"])
    expect(logged(RESTART)[0]?.["keys"]).toEqual(["blobserve.port"])
  })

  test("that wants images to be pulled before has them read, while the process stays ready", async () => {
    const gate = Promise.withResolvers<void>()
    upstream.roles.push(async (_, { pathname }) => {
      if (pathname.includes("/lab/other/")) await gate.promise
      return null
    })
    await start({ repos: { [repo("app")]: {} } }, { readinessProbeAddr: "127.0.0.1:0" })
    const probe = () => logged("started readiness probe server")[0]?.["addr"]
    await until(() => probe() !== undefined)
    const ready = async () => (await fetch(`http://${probe()}/ready`)).status
    await until(async () => (await ready()) === 200)
    server.configure({ repos: { [repo("other")]: { prePull: ["1"] } } })
    await applied()

    expect(await ready()).toBe(200)
    gate.resolve()
    await until(() => logged("image is ready for serving its files").length === 1)
  })

  test("that is wrong is refused, and the old one stays", async () => {
    await start({ repos: { [repo("app")]: {} } })
    server.configure({ repos: { ubuntu: {} } })
    await until(() => logged(REFUSED).length > 0)

    expect(String(logged(REFUSED)[0]?.["error"])).toContain("docker.io/library/ubuntu")
    expect(await text(`${repo("app")}:1/app/f`)).toBe("low")
  })

  test("of the credentials for upstreams holds where there is no registry beside it, too", async () => {
    upstream.roles.push(({ headers }) =>
      headers.get("authorization") === `Basic ${btoa("ann:right")}`
        ? null
        : new Response("{}", { status: 401, headers: { "www-authenticate": "Basic realm=x" } }),
    )
    await start({ repos: { [repo("app")]: {} } })
    expect(await status(`${repo("app")}:1/app/f`)).toBeGreaterThanOrEqual(400)
    const auths = { [upstream.host]: { auth: btoa("ann:right") } }
    writeFileSync(join(server.dir, "docker.json"), JSON.stringify({ auths }))
    server.configure({}, { dockerAuth: "docker.json" })
    await applied()

    await until(async () => (await text(`${repo("app")}:1/app/f`)) === "low")
  })
})
