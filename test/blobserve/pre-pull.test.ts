import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Condition } from "../../src/telemetry/readiness.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer, opaqueLayer } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { until } from "../helpers/until.ts"
import { type Role, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const FAR = 3_600_000

describe("images that prePull lists", () => {
  let upstream: UpstreamServer
  let server: FileServer

  beforeEach(async () => {
    upstream = startUpstream()
    upstream.add("lab/app", "1", await image({ layers: [await layer({ f: "app" })] }))
    upstream.add("lab/other", "1", await image({ layers: [await layer({ f: "other" })] }))
  })
  afterEach(async () => {
    await server.stop()
    upstream.stop()
  })

  const repo = (name: string): string => `${upstream.host}/lab/${name}`
  const start = async (names: readonly string[], prePullPatienceMs: number) => {
    const repos = Object.fromEntries(names.map((name) => [repo(name), { prePull: ["1"] }]))
    const files = { ...IMPATIENT.files, prePullRetryMs: 20, prePullPatienceMs }
    server = await startFiles({
      blobserve: { repos },
      config: { readinessProbeAddr: "127.0.0.1:0", registry: { port: 0, host: "127.0.0.1", tagTTL: "0" } },
      tuning: { ...IMPATIENT, files },
      isFollowing: true,
    })
    await until(() => server.logs.some(({ message }) => message === "started readiness probe server"))
  }
  const logged = (message: string) => server.logs.filter((line) => line["message"] === message)
  const probe = async (query = "") =>
    await fetch(`http://${logged("started readiness probe server")[0]?.["addr"]}/ready${query}`)
  const isReady = async () => (await probe()).status === 200
  const condition = async (): Promise<Condition | undefined> => {
    const { conditions } = (await (await probe("?verbose")).json()) as { conditions: readonly Condition[] }
    return conditions.find(({ name }) => name === "images to serve files of")
  }
  const asked = (name: string) => upstream.seen.filter(({ path }) => path.includes(`/lab/${name}/manifests/`)).length
  const answering = (name: string, status: number): Role => {
    const role: Role = (_, { pathname }) =>
      pathname.includes(`/lab/${name}/manifests/`) ? new Response("{}", { status }) : null
    upstream.roles.push(role)
    return role
  }

  test.each([404, 401, 403])(
    "one that is answered with %d keeps neither readiness nor the others away",
    async (code) => {
      const role = answering("gone", code)
      await start(["gone", "app"], FAR)
      await until(isReady)

      expect(await server.text(`/${repo("app")}:1/f`)).toBe("app")
      expect(await condition()).toMatchObject({
        state: "degraded",
        reason: expect.stringContaining(`${repo("gone")} 1`),
      })
      expect(logged("cannot read image for serving its files, trying again")).toMatchObject([
        { image: `${repo("gone")} 1` },
      ])
      upstream.roles.splice(upstream.roles.indexOf(role), 1)
      upstream.add("lab/gone", "1", await image({ layers: [await layer({ f: "back" })] }))
      await until(async () => (await condition())?.state === "ok")
      expect(await server.text(`/${repo("gone")}:1/f`)).toBe("back")
    },
  )

  test("one that no archive is in keeps readiness away no longer than it takes to find out", async () => {
    upstream.add("lab/broken", "1", await image({ layers: [opaqueLayer(10_000)] }))
    await start(["broken", "app"], FAR)

    await until(isReady)
    expect((await condition())?.state).toBe("degraded")
  })

  test("are read at the same time, and readiness waits for each of them", async () => {
    const gate = Promise.withResolvers<void>()
    upstream.roles.push(async (_, { pathname }) => {
      if (pathname.includes("/lab/app/")) await gate.promise
      return null
    })
    await start(["app", "other"], 1)
    await until(() => logged("image is ready for serving its files").length === 1)

    expect(logged("image is ready for serving its files")).toMatchObject([{ image: `${repo("other")} 1` }])
    expect(await condition()).toMatchObject({ state: "pending", reason: '1 to be read, see "prePull"' })
    expect(await isReady()).toBe(false)
    gate.resolve()
    await until(isReady)
    expect(await condition()).toMatchObject({ state: "ok" })
  })

  test("of a registry that is away for a moment are waited for", async () => {
    const role = answering("app", 503)
    await start(["app"], FAR)
    await until(async () => (await condition())?.state === "failed")
    const before = asked("app")
    await until(() => asked("app") > before + 2 * IMPATIENT.documents.attempts)

    expect(await condition()).toMatchObject({ state: "failed", reason: expect.stringContaining("503") })
    expect(await isReady()).toBe(false)
    upstream.roles.splice(upstream.roles.indexOf(role), 1)
    await until(isReady)
    expect(await server.text(`/${repo("app")}:1/f`)).toBe("app")
  })

  test("of a registry that stays away are waited for as long as the patience lasts", async () => {
    answering("app", 503)
    await start(["app", "other"], 1)
    await until(isReady)

    expect(await condition()).toMatchObject({ state: "degraded", reason: expect.stringContaining("503") })
    expect(await server.text(`/${repo("other")}:1/f`)).toBe("other")
  })

  test("that a changed configuration wants no longer are nothing that is missing", async () => {
    answering("gone", 404)
    await start(["gone", "app"], FAR)
    await until(async () => (await condition())?.state === "degraded")
    server.configure({ repos: { [repo("app")]: {} } })

    await until(async () => (await condition()) === undefined)
    expect(await isReady()).toBe(true)
  })
})
