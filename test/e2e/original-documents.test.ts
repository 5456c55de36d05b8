import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brokenAfter } from "../helpers/broken-body.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, index, layer, OCI_INDEX, OCI_MANIFEST, platform, type TestImage } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { type RedisServer, startRedis } from "../helpers/redis-server.ts"
import { startResettingProxy } from "../helpers/resetting-proxy.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { type Role, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

let upstream: UpstreamServer
let app: TestImage
let facade: RunningFacade | null
beforeEach(async () => {
  upstream = startUpstream()
  facade = null
  app = await image({ layers: [await layer({ a: "1" })] })
  upstream.add("lab/app", "1", app)
  upstream.add("lab/index", "1", index([[app, platform("amd64")]]))
})
afterEach(async () => {
  await facade?.stop()
  upstream.stop()
})

const ref = (name: string) => `${upstream.host}/lab/${name}`
const specs = () => ({ app: { baseRef: ref("app:1") }, index: { baseRef: ref("index:1") } })
const start = async (options: Parameters<typeof startFacade>[0] = {}) => {
  facade = await startFacade({ mode: "binary", specs: specs(), ...options })
  return facade
}
const pull = async (name: string) => {
  const headers = { accept: `${OCI_INDEX}, ${OCI_MANIFEST}` }
  const answer = await facade?.get(`/v2/fixed/${name}/manifests/latest`, { headers })
  return [answer?.status, answer?.headers.get("content-type")]
}
const asked = (end: string) => upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(end)).length

describe("manifests and configs", () => {
  /** Has files of a version that this one neither reads nor writes. */
  const foreignStore = () => {
    const dir = tempDir()
    mkdirSync(join(dir, "store/v1"), { recursive: true })
    writeFileSync(join(dir, "store/v1/layout"), "registry-facade store 2\n")
    return { dir }
  }

  test.each([
    ["A-27", "index", OCI_INDEX],
    ["A-30", "app", OCI_MANIFEST],
  ])("%s: are read without a store: %s", async (_, name, type) => {
    await start({ registry: { store: "" } })
    expect(await pull(name)).toEqual([200, type])
  })

  test.each([
    ["A-28", "index", OCI_INDEX],
    ["A-31", "app", OCI_MANIFEST],
  ])("%s: are read with a store that knows nothing and takes nothing: %s", async (_, name, type) => {
    await start(foreignStore())
    expect(await pull(name)).toEqual([200, type])
  })

  test("A-29: are read with a store where everything fails", async () => {
    const { dir } = await start()
    await until(() => existsSync(join(dir, "store"))) // made when something is to be kept
    renameSync(join(dir, "store"), join(dir, "gone"))
    writeFileSync(join(dir, "store"), "no directory")
    expect(await pull("index")).toEqual([200, OCI_INDEX])
  })

  const once = (end: string, make: () => Response): Role => {
    let count = 0
    return ({ method }, { pathname }) => {
      if (method !== "GET" || !pathname.endsWith(end)) return null
      count += 1
      return count === 1 ? make() : null
    }
  }

  test("A-32: a manifest that breaks off after five bytes is fetched again", async () => {
    upstream.roles.push(once("/manifests/1", () => brokenAfter(app.manifest.bytes.slice(0, 5))))
    await start()
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(asked("/manifests/1")).toBe(2)
  })

  test("A-33: a config that breaks off after five bytes is fetched again", async () => {
    upstream.roles.push(once(app.config.digest, () => brokenAfter(app.config.bytes.slice(0, 5))))
    await start()
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(asked(app.config.digest)).toBe(2)
  })

  test("A-34: what fails twice is fetched three times", async () => {
    let count = 0
    upstream.roles.push(({ method }, { pathname }) => {
      if (method !== "GET" || !pathname.endsWith("/manifests/1")) return null
      count += 1
      return count <= 2 ? new Response("", { status: 503, headers: { "retry-after": "0" } }) : null
    })
    await start()
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(count).toBe(3)
  })

  test("A-13: a connection that is reset is made again", async () => {
    const proxy = startResettingProxy(upstream.url, 1)
    const { digest } = app.manifest
    await start({ specs: { app: { baseRef: `${proxy.host}/lab/app@${digest}` } } })
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(proxy.resets()).toBe(1)
    proxy.stop()
  })

  test.each(["HOST/lab/app:", "HOST/lab/app@", "@sha256:abc", ":"])(
    "A-14: a reference that names nothing is refused without asking anybody: %s",
    async (text) => {
      const dir = tempDir()
      mkdirSync(dir, { recursive: true })
      writeFileSync(join(dir, "config.json"), JSON.stringify({ registry: { fixedSpecFN: "specs.json" } }))
      writeFileSync(join(dir, "specs.json"), JSON.stringify({ a: { baseRef: text.replace("HOST", upstream.host) } }))
      const { code, err } = await runBinary(["compose", join(dir, "config.json"), "a"])
      expect(code).toBe(1)
      expect(err).toContain("baseRef")
      expect(upstream.seen).toEqual([])
    },
  )
})

const redisNeeds = needs("redis-server", "redis-cli")
describe.skipIf(redisNeeds.isMissing)(`documents that Redis holds${redisNeeds.note}`, () => {
  let redis: RedisServer
  beforeEach(async () => {
    redis = await startRedis()
  })
  afterEach(async () => await redis.stop())

  const byDigest = () => ({ app: { baseRef: ref(`app@${app.manifest.digest}`) } })
  const startShared = async () =>
    await start({ specs: byDigest(), registry: { redis: { enabled: true, singleHostAddr: redis.addr } } })
  const text = () => new TextDecoder().decode(app.manifest.bytes)
  const manifests = () => upstream.seen.filter(({ path }) => path.includes("/manifests/")).length

  test("A-9: none where it knows nothing: the upstream is asked", async () => {
    await startShared()
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(manifests()).toBe(1)
  })

  test("A-10: none where it cannot be decoded, which is told", async () => {
    const { digest } = app.manifest
    await redis.cli("MSET", `nfo.${digest}`, "{no json", `cnt.${digest}`, text())
    const { logs } = await startShared()
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(manifests()).toBe(1)
    await until(() => logs.some(({ message }) => message === "Redis holds a document that is not understood"))
  })

  test("A-11: that the original's fleet has put there are served without asking the upstream", async () => {
    const { digest, mediaType, size } = app.manifest
    const times = { CreatedAt: 7899, UpdatedAt: 9999 }
    const info = { Digest: digest, Size: size, ...times, Labels: { "Content-Type": mediaType, foo: "bar" } }
    await redis.cli("MSET", `nfo.${digest}`, JSON.stringify(info), `cnt.${digest}`, text())
    await startShared()
    expect(await pull("app")).toEqual([200, OCI_MANIFEST])
    expect(manifests()).toBe(0)
  })

  test("A-12: are put there as the original does", async () => {
    const { digest, mediaType, size } = app.manifest
    await startShared()
    await pull("app")
    await until(async () => (await redis.cli("EXISTS", `cnt.${digest}`, `nfo.${digest}`)) === "2")
    const info = await redis.cli("GET", `nfo.${digest}`)
    const [, created = "", updated] = /"CreatedAt":(\d+),"UpdatedAt":(\d+)/.exec(info) ?? []

    expect(await redis.cli("GET", `cnt.${digest}`)).toBe(text())
    expect(info).toBe(
      `{"Digest":"${digest}","Size":${size},"CreatedAt":${created},"UpdatedAt":${created},"Labels":{"Content-Type":"${mediaType}"}}`,
    )
    expect(updated).toBe(created)
    expect(Math.abs(Number(created) - Date.now() / 1000)).toBeLessThan(60)
  })
})
