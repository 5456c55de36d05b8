import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { installHelper, printing } from "../helpers/credential-helper.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { requireLogin, startTokenServer, type TokenServer } from "../helpers/login-server.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let upstream: UpstreamServer
let tokens: TokenServer
let dir: string
let facade: RunningFacade | null = null
beforeEach(async () => {
  upstream = startUpstream()
  tokens = startTokenServer()
  dir = tempDir()
  for (const name of ["lab/app", "lab/other", "team/app"]) upstream.add(name, "1", await image())
})
afterEach(async () => {
  await facade?.stop()
  upstream.stop()
  tokens.stop()
})

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`
const auth = (text: string) => ({ auth: Buffer.from(text).toString("base64") })
const authFile = () => join(dir, "auth.json")
const writeAuth = (file: unknown) => writeFileSync(authFile(), JSON.stringify(file))

/** A facade that reads `auth.json`; its names are the last parts of the upstream's repositories, dashes for slashes. */
async function start(options: FacadeOptions = {}): Promise<RunningFacade> {
  const names = ["lab/app", "lab/other", "team/app"]
  const specs = Object.fromEntries(
    names.map((name) => [name.replace("/", "-"), { baseRef: `${upstream.host}/${name}:1` }]),
  )
  facade = await startFacade({
    dir,
    specs,
    registry: { tagTTL: "0s" },
    config: { dockerAuth: "auth.json" },
    ...options,
  })
  return facade
}
const pull = async (name = "lab-app") => (await facade?.get(`/v2/fixed/${name}/manifests/latest`))?.status ?? 0
const requireBasic = (isAllowed: (authorization: string) => boolean) =>
  requireLogin(upstream, 'Basic realm="lab"', isAllowed)
const requireToken = () =>
  requireLogin(upstream, `Bearer realm="${tokens.url}",service="lab"`, (authorization) =>
    tokens.tokens.includes(authorization.replace("Bearer ", "")),
  )

describe("dockerAuth", () => {
  test("a user and password in auths open a registry with Basic login", async () => {
    requireBasic((authorization) => authorization === basic("me:s3cret"))
    writeAuth({ auths: { [upstream.host]: auth("me:s3cret") } })
    await start()

    expect(await pull()).toBe(200)
  })

  test("an identity token gets tokens by POST, and is sent nowhere else", async () => {
    requireToken()
    writeAuth({ auths: { [upstream.host]: { ...auth("me:"), identitytoken: "id-s3cret" } } })
    await start()

    expect(await pull()).toBe(200)
    expect(
      tokens.asked.map(({ form, query, authorization }) => [[...(form ?? [])], [...query], authorization]),
    ).toEqual([
      [
        [
          ["grant_type", "refresh_token"],
          ["refresh_token", "id-s3cret"],
          ["client_id", "registry-facade"],
          ["service", "lab"],
          ["scope", "repository:lab/app:pull"],
        ],
        [],
        null,
      ],
    ])
    expect(JSON.stringify(upstream.seen.map(({ headers }) => [...headers]))).not.toContain("id-s3cret")
  })

  test("a token server that knows no identity tokens is told as it is", async () => {
    requireToken()
    tokens.answer = () => new Response(null, { status: 404 })
    writeAuth({ auths: { [upstream.host]: { identitytoken: "id-s3cret" } } })
    const { get } = await start()
    const answer = await get("/v2/fixed/lab-app/manifests/latest")

    expect(answer.status).toBe(403)
    expect(await answer.text()).toContain("it takes no identity tokens; use a user and a password")
  })

  test("a registry token is sent as it is, to the registry alone", async () => {
    requireLogin(upstream, `Bearer realm="${tokens.url}"`, (authorization) => authorization === "Bearer rt-s3cret")
    writeAuth({ auths: { [upstream.host]: { registrytoken: "rt-s3cret" } } })
    await start()

    expect(await pull()).toBe(200)
    expect(tokens.asked).toEqual([])
  })

  test("C3: each repository is asked for with what is meant for it, and with nothing where that is nothing", async () => {
    requireLogin(upstream, `Bearer realm="${tokens.url}",service="lab"`, (authorization) => {
      const asked = tokens.asked[tokens.tokens.indexOf(authorization.replace("Bearer ", ""))]
      return asked?.authorization === basic("lab:s3cret") && asked.query.get("scope") === "repository:lab/app:pull"
    })
    writeAuth({
      auths: { [`${upstream.host}/lab/app`]: auth("lab:s3cret"), [`${upstream.host}/team`]: auth("team:x") },
    })
    await start()

    expect([await pull("lab-app"), await pull("lab-other"), await pull("team-app"), await pull("lab-app")]).toEqual([
      200, 403, 403, 200,
    ])
    const sent = tokens.asked.map(({ query, authorization }) => `${query.get("scope")} ${authorization}`)
    expect(new Set(sent)).toEqual(
      new Set([
        `repository:lab/app:pull ${basic("lab:s3cret")}`,
        "repository:lab/other:pull null",
        `repository:team/app:pull ${basic("team:x")}`,
      ]),
    )
  })

  test("upstreams.*.passwordFile wins, and is read again when it changes", async () => {
    requireBasic((authorization) => [basic("own:first"), basic("own:second")].includes(authorization))
    writeAuth({ auths: { [upstream.host]: auth("me:s3cret") } })
    writeFileSync(join(dir, "password"), "first\n")
    const upstreams = { [upstream.host]: { username: "own", passwordFile: "password" } }
    await start({ registry: { tagTTL: "0s", upstreams } })
    expect(await pull()).toBe(200)
    writeFileSync(join(dir, "password"), "second\n")
    expect(await pull()).toBe(200)

    const sent = upstream.seen.map(({ headers }) => headers.get("authorization"))
    expect(sent).not.toContain(basic("me:s3cret"))
    expect([sent.includes(basic("own:first")), sent.at(-1)]).toEqual([true, basic("own:second")])
  })
})

describe("an entry of dockerAuth that is wrong", () => {
  test("is told by its key, and costs no other host its credential: at the start, and after a change", async () => {
    requireBasic((authorization) => authorization === basic("me:s3cret"))
    const mine = { [upstream.host]: auth("me:s3cret") }
    writeAuth({ auths: { "first.test": "canary-one", ...mine } })
    const { logs } = await start()
    const before = await pull()
    writeAuth({ auths: { ...mine, "second.test": { auth: "canary-two" } } })
    const after = await pull()
    const told = logs.filter(({ message }) => String(message).startsWith("cannot use an entry of dockerAuth"))

    expect([before, after]).toEqual([200, 200])
    expect(told).toEqual([
      expect.objectContaining({ level: "error", path: authFile(), problem: '"auths" of first.test is not an object' }),
      expect.objectContaining({ problem: '"auth" of second.test is not "user:password" in base64' }),
    ])
    expect(JSON.stringify(logs)).not.toContain("canary")
  })

  test("sends nothing to its host, not even what is meant for more of it", async () => {
    requireBasic((authorization) => authorization === basic("me:s3cret"))
    writeAuth({ auths: { [upstream.host]: auth("me:s3cret"), [`${upstream.host}/lab`]: { auth: "canary" } } })
    await start()

    expect([await pull("lab-app"), await pull("team-app")]).toEqual([403, 200])
  })
})

describe("dockerAuth is followed while the facade runs", () => {
  const current = { value: "me:old" }
  beforeEach(() => {
    current.value = "me:old"
    requireBasic((authorization) => authorization === basic(current.value))
    writeAuth({ auths: { [upstream.host]: auth("me:old") } })
  })

  test("Q-A3, D-21: half of a file changes nothing, stops nothing, and is told; the whole one is used", async () => {
    const { logs } = await start()
    expect(await pull()).toBe(200)
    const text = JSON.stringify({ auths: { [upstream.host]: auth("me:new") } })
    for (const part of [text.slice(0, 10), text.slice(0, -1), ""]) {
      writeFileSync(authFile(), part)
      expect(await pull()).toBe(200)
    }
    expect(upstream.seen.map(({ headers }) => headers.get("authorization")).at(-1)).toBe(basic("me:old"))
    const told = logs.filter(({ message }) => message === "cannot use changed file, the old one stays in use")
    expect(told.length).toBeGreaterThan(0)
    expect(JSON.stringify(told)).not.toContain(auth("me:old").auth)

    current.value = "me:new"
    writeFileSync(authFile(), text)
    expect(await pull()).toBe(200)
    expect(logs.some(({ message }) => message === "reloading file after change")).toBe(true)
  })

  test("a mounted secret is followed when Kubernetes swaps its symlink", async () => {
    const version = (name: string, text: string) => {
      mkdirSync(join(dir, name))
      writeFileSync(join(dir, name, "auth.json"), JSON.stringify({ auths: { [upstream.host]: auth(text) } }))
      symlinkSync(name, join(dir, "..data_tmp"))
      renameSync(join(dir, "..data_tmp"), join(dir, "..data"))
    }
    version("..1", "me:old")
    symlinkSync(join("..data", "auth.json"), join(dir, "mounted.json"))
    await start({ config: { dockerAuth: "mounted.json" } })
    expect(await pull()).toBe(200)
    current.value = "me:new"
    version("..2", "me:new")

    expect(await pull()).toBe(200)
  })

  test("B3: a credential that is refused is not tried again and again, a new one at once", async () => {
    current.value = "me:new"
    await start()
    for (let tries = 0; tries < 5; tries += 1) expect(await pull()).toBe(403)
    const tried = upstream.seen.filter(({ headers }) => headers.get("authorization") === basic("me:old")).length
    writeAuth({ auths: { [upstream.host]: auth("me:new") } })

    expect(tried).toBe(1)
    expect(await pull()).toBe(200)
  })
})

describe("credential helpers", () => {
  test("credHelpers and credsStore are run, once for all who wait", async () => {
    requireBasic((authorization) => authorization === basic("helped:s3cret"))
    const helper = installHelper("lab", printing("helped", "s3cret"))
    writeAuth({ credHelpers: { [upstream.host]: "lab" }, credsStore: "missing" })
    await start({ mode: "binary", env: { PATH: `${helper.dir}:${process.env["PATH"]}` } })

    expect(await Promise.all(["lab-app", "lab-other", "team-app", "lab-app"].map(pull))).toEqual([200, 200, 200, 200])
    expect(helper.asked()).toEqual([upstream.host])
  })

  type IsValid = (authorization: string | null) => boolean
  test.each<[string, (isValid: IsValid) => void]>([
    ["the registry", (isValid) => requireBasic(isValid)],
    [
      "its token server",
      (isValid) => {
        requireLogin(upstream, `Bearer realm="${tokens.url}",service="lab"`, (authorization) =>
          isValid(tokens.asked[Number(authorization.replace("Bearer token-", "")) - 1]?.authorization ?? null),
        )
        tokens.answer = () =>
          isValid(tokens.asked.at(-1)?.authorization ?? null) ? null : new Response(null, { status: 401 })
      },
    ],
  ])("D-22: a secret that %s takes no more is asked for again, and the client does not notice", async (_, require) => {
    let valid = "first"
    require((authorization) => authorization === basic(`helped:${valid}`))
    const helper = installHelper("lab", printing("helped", "first"))
    writeAuth({ credsStore: "lab" })
    await start({ mode: "binary", env: { PATH: `${helper.dir}:${process.env["PATH"]}` } })
    expect(await pull()).toBe(200)
    valid = "second"
    helper.says(printing("helped", "second"))

    expect(await pull()).toBe(200)
    expect(helper.asked()).toHaveLength(2)
  })

  test("one that fails costs public images nothing, and is told in the log", async () => {
    writeAuth({ credsStore: "lab" })
    const helper = installHelper("lab", "echo s3cret; exit 1")
    const { logs } = await start({ mode: "binary", env: { PATH: `${helper.dir}:${process.env["PATH"]}` } })
    expect(await pull()).toBe(200)
    requireBasic(() => false)
    expect(await pull("team-app")).toBe(403)

    await until(() => JSON.stringify(logs).includes("Cannot use docker-credential-lab: it ended with 1"))
    expect(JSON.stringify(logs)).not.toContain("s3cret")
  })
})

test.each([
  ["is missing", null, "ENOENT"],
  ["is broken", "{", "line 1: close brace expected"],
  ["holds something else", '{"auths":"s3cret"}', '"auths" is not an object'],
])("a dockerAuth that %s at the start is told, and nothing starts", async (_, text, reason) => {
  if (text !== null) writeFileSync(authFile(), text)
  writeFileSync(join(dir, "config.json"), JSON.stringify({ dockerAuth: "auth.json", registry: { port: 0 } }))
  const { code, err } = await runBinary(["run", join(dir, "config.json")])

  expect([code, err.includes(`Cannot use dockerAuth, ${authFile()}`), err.includes(reason)]).toEqual([1, true, true])
  expect(err).not.toContain("s3cret")
})
