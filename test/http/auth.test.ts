import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { rawRequest } from "../helpers/raw-http.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream } from "../helpers/upstream-server.ts"
import { basic, userLine } from "../helpers/users.ts"

setDefaultTimeout(30_000)

const SPECS = { small: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }
const MANIFEST = "/v2/fixed/small/manifests/latest"
const CHALLENGE = 'Basic realm="registry-facade"'
const AUTH = { requireAuth: true, auth: { htpasswd: "users" } }
const ANN = basic("ann", "ann's")

const running: RunningFacade[] = []

interface StartOptions {
  readonly registry?: Readonly<Record<string, unknown>>
  readonly config?: Readonly<Record<string, unknown>>
  readonly mode?: "source" | "binary"
  readonly dir?: string
}

async function start({ registry = {}, dir = tempDir(), ...rest }: StartOptions = {}): Promise<RunningFacade> {
  writeFileSync(join(dir, "users"), (await userLine("ann", "ann's")) + (await userLine("bob", "bob's")), { flag: "a" })
  const facade = await startFacade({ dir, specs: SPECS, ...rest, registry: { ...AUTH, ...registry } })
  running.push(facade)
  return facade
}
const statusOf = async (facade: RunningFacade, headers: Readonly<Record<string, string>> = {}) =>
  (await facade.get(MANIFEST, { headers })).status

afterAll(async () => {
  for (const facade of running) await facade.stop()
})

describe.each(["source", "binary"] as const)("a registry that asks for a login, as %s", (mode) => {
  let facade: RunningFacade
  beforeAll(async () => {
    facade = await start({ mode })
  })

  test.each([
    "/v2/",
    "/v2",
    MANIFEST,
    "/v2/fixed/small/tags/list",
    "/v2/_catalog",
    "/swagger",
    "/swagger/json",
    "/",
    "/none",
  ])("answers nobody at %s", async (path) => {
    const answer = await facade.get(path)

    expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([401, CHALLENGE])
    expect(answer.headers.get("docker-distribution-api-version")).toBe("registry/2.0")
    expect(answer.headers.get("cache-control")).toBe("no-store")
    expect(await answer.json()).toEqual({
      errors: [{ code: "UNAUTHORIZED", message: "This registry asks for a user and a password" }],
    })
  })

  test.each([
    "//v2/",
    "/V2/",
    "/v2/%2e%2e/swagger",
    "/v2/../swagger",
    "/%76%32/",
    "/v2/?x=/swagger",
    "http://x/v2/",
    "*",
  ])("answers nobody who spells the path %s", async (path) => {
    for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]) {
      const answer = await rawRequest(facade.host, [`${method} ${path} HTTP/1.1`, "Host: x", "Connection: close"])

      expect([method, answer.status === 400 ? 401 : answer.status]).toEqual([method, 401])
    }
  })

  test.each([
    ["a wrong password", basic("ann", "wrong").authorization],
    ["nobody's name", basic("nobody", "ann's").authorization],
    ["a token", "Bearer abc"],
    ["what only begins right", `${ANN.authorization}, Basic x`],
    ["what is no base64", "Basic ?"],
    ["an empty name and password", basic("", "").authorization],
  ])("does not let in %s", async (_, authorization) => {
    const answer = await facade.get(MANIFEST, { headers: { authorization } })

    expect([answer.status, answer.headers.get("www-authenticate")]).toEqual([401, CHALLENGE])
  })

  test("answers HEAD with the same, without a body", async () => {
    const answer = await rawRequest(facade.host, [`HEAD ${MANIFEST} HTTP/1.1`, "Host: x"])

    expect([answer.status, answer.header("www-authenticate"), answer.body.byteLength]).toEqual([401, CHALLENGE, 0])
  })

  test("lets users do what docker login does, and pull", async () => {
    const ping = await facade.get("/v2/", { headers: ANN })
    const manifest = await facade.get(MANIFEST, { headers: ANN })
    const { layers } = (await manifest.json()) as { layers: { digest: string }[] }
    const blob = await facade.get(`/v2/fixed/small/blobs/${layers[0]?.digest}`, { headers: ANN })

    expect([ping.status, await ping.text()]).toEqual([200, "{}"])
    expect([manifest.status, blob.status]).toEqual([200, 200])
    expect(blob.headers.get("cache-control")).toBe("private, max-age=31536000, immutable, no-transform")
    expect((await facade.get("/swagger/json", { headers: ANN })).status).toBe(200)
  })

  test("logs who has sent a request, and no password", async () => {
    await facade.get(MANIFEST, { headers: basic("bob", "bob's") })
    await facade.get(MANIFEST, { headers: basic("bob", "canary-guess") })
    const requests = () => facade.logs.filter(({ message }) => message === "request")
    await until(() => requests().at(-1)?.["status"] === 401)
    const text = JSON.stringify(facade.logs)

    expect(requests().slice(-2)).toEqual([
      expect.objectContaining({ status: 200, user: "bob", path: MANIFEST }),
      expect.not.objectContaining({ user: expect.anything() }),
    ])
    for (const secret of ["bob's", "canary-guess", "Basic ", basic("bob", "bob's").authorization.slice(6)])
      expect(text).not.toContain(secret)
  })
})

describe("a registry that asks for a login", () => {
  test("limits those who guess, and tells when to come back", async () => {
    const facade = await start()
    const guess = async (index: number) => await facade.get(MANIFEST, { headers: basic("ann", `guess ${index}`) })
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => guess(index)))
    const limited = answers.filter(({ status }) => status === 429)
    const [first] = limited

    expect(answers.filter(({ status }) => status === 401)).toHaveLength(10)
    expect(limited).toHaveLength(30)
    expect(Number(first?.headers.get("retry-after"))).toBeWithin(50, 61)
    expect(await first?.json()).toMatchObject({ errors: [{ code: "TOOMANYREQUESTS" }] })
    expect(await statusOf(facade, ANN)).toBe(429)
    expect(await statusOf(facade, basic("bob", "bob's"))).toBe(200)
  })

  test("keeps its metrics and probes open, which have ports of their own", async () => {
    const facade = await start({ config: { prometheusAddr: "127.0.0.1:0", readinessProbeAddr: "127.0.0.1:0" } })
    const at = (message: string) => String(facade.logs.find((line) => line["message"] === message)?.["addr"])
    const metrics = await fetch(`http://${at("started Prometheus metrics server")}/metrics`)
    const ready = await fetch(`http://${at("started readiness probe server")}/ready`)

    expect([metrics.status, ready.status]).toEqual([200, 200])
  })

  test("follows its file: who is gone is out at once, who is new is in", async () => {
    const facade = await start()
    const before = [await statusOf(facade, ANN), await statusOf(facade, basic("cat", "cat's"))]
    writeFileSync(join(facade.dir, "users"), await userLine("cat", "cat's"))
    const after = [await statusOf(facade, ANN), await statusOf(facade, basic("cat", "cat's"))]

    expect([before, after]).toEqual([
      [200, 401],
      [401, 200],
    ])
  })

  test("follows the links of a Kubernetes volume", async () => {
    const dir = tempDir()
    const version = async (name: string, line: string) => {
      mkdirSync(join(dir, name))
      writeFileSync(join(dir, name, "users"), line)
      symlinkSync(name, join(dir, "..data.new"))
      renameSync(join(dir, "..data.new"), join(dir, "..data"))
    }
    await version("..1", "")
    symlinkSync("..data/users", join(dir, "users"))
    const facade = await start({ dir })
    const before = await statusOf(facade, ANN)
    await version("..2", await userLine("cat", "cat's"))

    expect([before, await statusOf(facade, ANN), await statusOf(facade, basic("cat", "cat's"))]).toEqual([
      200, 401, 200,
    ])
  })

  test.each([
    ["an empty one", (file: string) => writeFileSync(file, "")],
    ["comments alone", (file: string) => writeFileSync(file, "# nobody\n")],
    ["a plain password", (file: string) => writeFileSync(file, "ann:ann's\n")],
    ["nonsense", (file: string) => writeFileSync(file, "\0\0\0\0")],
    ["none", (file: string) => rmSync(file)],
    [
      "a directory",
      (file: string) => {
        rmSync(file)
        mkdirSync(file)
      },
    ],
  ])("stays as it is when its file becomes %s, and tells so once", async (_, spoil) => {
    const facade = await start()
    spoil(join(facade.dir, "users"))
    const failures = () => facade.logs.filter(({ message }) => String(message).startsWith("cannot use changed file"))
    await until(() => failures().length === 1)
    const answers = [await statusOf(facade), await statusOf(facade, ANN), await statusOf(facade, basic("ann", "x"))]

    expect(answers).toEqual([401, 200, 401])
    expect(failures()).toEqual([expect.objectContaining({ level: "error", path: join(facade.dir, "users") })])
    expect(JSON.stringify(facade.logs)).not.toContain("ann's")
  })

  test("does not start without users", async () => {
    const failing = async (text: string | null) => {
      const at = tempDir()
      if (text !== null) writeFileSync(join(at, "users"), text)
      return await startFacade({ dir: at, specs: SPECS, registry: AUTH }).then(
        () => "started",
        (error: Error) => error.message,
      )
    }

    expect(await failing(null)).toContain("Cannot read")
    expect(await failing("")).toContain("it holds no users")
    expect(await failing("ann:{SHA}x")).toContain('users:1: the password of "ann" is kept as SHA-1')
  })

  test("warns where passwords come unencrypted from other machines", async () => {
    const warned = ({ logs }: RunningFacade) => logs.some(({ message }) => String(message).startsWith("passwords come"))

    expect(warned(await start({ registry: { host: "0.0.0.0" } }))).toBe(true)
    expect(warned(await start())).toBe(false)
  })

  test("tells no upstream what clients have sent", async () => {
    const upstream = startUpstream()
    const facade = await start()
    facade.writeSpecs({ other: { baseRef: `${upstream.host}/none:1` } })
    const answer = await facade.get("/v2/fixed/other/manifests/latest", { headers: ANN })
    const sent = upstream.seen.map(({ headers }) => headers.get("authorization"))
    upstream.stop()

    expect(answer.status).toBe(404)
    expect(sent.length).toBeGreaterThan(0)
    expect(new Set(sent)).toEqual(new Set([null]))
  })
})
