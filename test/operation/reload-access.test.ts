import { afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { PRODUCTION } from "../../src/tuning.ts"
import { type Authority, createAuthority, type Pair } from "../helpers/certificates.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { sha256 } from "../helpers/images.ts"
import { addressOf, holdTransfer, METRICS } from "../helpers/operation.ts"
import { needs } from "../helpers/programs.ts"
import { scrape } from "../helpers/scrape.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { askTls, openTls } from "../helpers/tls-client.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"
import { basic, userLine } from "../helpers/users.ts"

setDefaultTimeout(60_000)

const APPLIED = "reloading file after change"
const CLOSED = "nothing opens the registry but a restart, it stays closed"
const REFUSED = "cannot use changed configuration, the old one stays in use"
const RESTART = "changes of the configuration that need a restart"
const MANIFEST = "/v2/fixed/small/manifests/latest"
const SMALL = { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] }

type Section = Readonly<Record<string, unknown>>

let facade: RunningFacade
const start = async (
  registry: Section = {},
  files: Readonly<Record<string, string>> = {},
  options: FacadeOptions = {},
) => {
  const dir = tempDir()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  const config = { prometheusAddr: "127.0.0.1:0" }
  facade = await startFacade({ mode: "binary", dir, specs: { small: SMALL }, config, registry, ...options })
  await until(() => facade.logs.some(({ message }) => String(message).startsWith("starting watch of file")))
}
afterEach(async () => await facade.stop())

/** Writes the configuration again, as an editor does: `edit` gets its section "registry". */
function change(edit: (registry: Record<string, unknown>) => Section): void {
  const file = join(facade.dir, "config.json")
  const config = JSON.parse(readFileSync(file, "utf8"))
  writeFileSync(`${file}.new`, JSON.stringify({ ...config, registry: edit(config.registry) }))
  renameSync(`${file}.new`, file)
}
const set = (values: Section) => change((registry) => ({ ...registry, ...values }))
const remove = (...keys: readonly string[]) =>
  change((registry) => Object.fromEntries(Object.entries(registry).filter(([key]) => !keys.includes(key))))
const logged = (message: string) => facade.logs.filter((line) => line["message"] === message)
const applied = async (times: number) => await until(() => logged(APPLIED).length === times)
const ask = async (headers: Readonly<Record<string, string>> = {}) => (await facade.get(MANIFEST, { headers })).status
const LOGIN = { requireAuth: true, auth: { htpasswd: "users" } }

describe("a login", () => {
  test("is asked for as soon as the configuration says so, on open connections, too", async () => {
    await start({}, { users: await userLine("ann", "ann's") })
    expect(await ask()).toBe(200)
    set(LOGIN)
    await applied(1)

    expect([await ask(), await ask(basic("ann", "wrong")), await ask(basic("ann", "ann's"))]).toEqual([401, 401, 200])
    expect(logged(APPLIED)[0]?.["applied"]).toEqual(["registry.auth", "registry.requireAuth"])
    const { headers } = await facade.get(MANIFEST)
    expect(headers.get("www-authenticate")).toStartWith("Basic ")
  })

  test("takes another file of users", async () => {
    const [users, others] = [await userLine("ann", "ann's"), await userLine("bob", "bob's")]
    await start(LOGIN, { users, others })
    set({ auth: { htpasswd: "others" } })
    await applied(1)

    expect([await ask(basic("ann", "ann's")), await ask(basic("bob", "bob's"))]).toEqual([401, 200])
    writeFileSync(join(facade.dir, "others"), await userLine("eve", "eve's"))
    await until(async () => (await ask(basic("eve", "eve's"))) === 200)
  })

  test("with a file of users that cannot be used changes nothing, and is taken once it can", async () => {
    await start({}, {})
    set(LOGIN)
    await until(() => logged(REFUSED).length === 1)
    expect(String(logged(REFUSED)[0]?.["error"])).toContain("users")
    expect(await ask()).toBe(200)
    writeFileSync(join(facade.dir, "users"), await userLine("ann", "ann's"))
    await applied(1)

    expect([await ask(), await ask(basic("ann", "ann's"))]).toEqual([401, 200])
  })

  test.each<[string, () => void]>([
    ["its lines are gone", () => remove("auth", "requireAuth")],
    ["requireAuth is false", () => set({ requireAuth: false })],
    ["the name of its file is empty", () => set({ requireAuth: false, auth: { htpasswd: "" } })],
  ])("E7 stays when a changed configuration has none, because %s", async (_, weaken) => {
    await start(LOGIN, { users: await userLine("ann", "ann's") })
    weaken()
    await until(() => logged(CLOSED).length === 1)
    set({ tagTTL: "2h" }) // whatever comes later must not bring it in
    await until(() => logged(CLOSED).length === 2)

    expect([await ask(), await ask(basic("ann", "ann's"))]).toEqual([401, 200])
    expect(logged(RESTART)[0]?.["keys"]).toEqual(logged(CLOSED)[0]?.["keys"])
    writeFileSync(join(facade.dir, "users"), await userLine("bob", "bob's"))
    await until(async () => (await ask(basic("bob", "bob's"))) === 200)
  })

  test("E7 stays when the whole section is gone and comes back without one", async () => {
    await start(LOGIN, { users: await userLine("ann", "ann's") })
    const file = join(facade.dir, "config.json")
    const { registry, ...rest } = JSON.parse(readFileSync(file, "utf8"))
    writeFileSync(file, JSON.stringify({ ...rest, blobserve: { port: 0 } }))
    await until(() => logged(CLOSED).length === 1)
    const { auth, requireAuth, ...open } = registry
    writeFileSync(file, JSON.stringify({ ...rest, registry: { ...open, tagTTL: "2h" } }))
    await until(() => logged(CLOSED).length === 2)

    expect([await ask(), await ask(basic("ann", "ann's"))]).toEqual([401, 200])
  })
})

const required = needs("openssl")
describe.skipIf(required.isMissing)(`TLS${required.note}`, () => {
  let authority: Authority
  let upstream: UpstreamServer
  beforeAll(async () => {
    authority = await createAuthority()
  })
  beforeEach(() => {
    upstream = startUpstream()
  })
  afterEach(() => upstream.stop())

  const port = () => Number(facade.host.split(":")[1])
  const shown = async () => (await askTls(port(), MANIFEST).catch(() => null))?.server
  const issue = async (name: string, days?: number): Promise<Pair> => {
    const [pair, dir] = [await authority.issue(name, days), join(facade.dir, name)]
    mkdirSync(dir)
    copyFileSync(pair.crt, join(dir, "tls.crt"))
    copyFileSync(pair.key, join(dir, "tls.key"))
    return pair
  }
  const filesOf = (name: string) => ({ crt: `${name}/tls.crt`, key: `${name}/tls.key` })
  const turnOn = async (tls: Section = {}) => {
    await issue("first")
    set({ tls: { ...filesOf("first"), ...tls } })
    await until(async () => (await shown()) === "first")
  }
  const hasExpiry = async () =>
    (await scrape(await addressOf(facade, METRICS))).has(
      'tls_certificate_expiry_timestamp_seconds{listener="registry"}',
    )

  /** The binary begins with the next certificate when connections of the last one have had their 5 seconds. */
  const PATIENCE_MS = 30_000
  /** The sources, which do not let the next certificate wait for the connections of the last. */
  const HASTY: FacadeOptions = {
    mode: "source",
    isFollowing: true,
    tuning: { ...PRODUCTION, tls: { handoverMs: 100 } },
  }

  test("takes other files, and follows those", async () => {
    await start({}, {}, HASTY)
    await turnOn()
    await issue("second")
    set({ tls: filesOf("second") })
    await until(async () => (await shown()) === "second")
    const third = await authority.issue("third")
    copyFileSync(third.key, join(facade.dir, "second/tls.key"))
    copyFileSync(third.crt, join(facade.dir, "second/tls.crt"))

    await until(async () => (await shown()) === "third")
  })

  test.each<[string, () => Promise<void>, string]>([
    ["that are missing", async () => {}, "Cannot read"],
    ["that have expired", async () => void (await issue("next", -1)), "expired"],
    [
      "that do not fit",
      async () => {
        await issue("next")
        copyFileSync((await authority.issue("other")).key, join(facade.dir, "next/tls.key"))
      },
      "next/tls.key",
    ],
  ])("with files %s stays as it is, is reported, and is replaced when they are right", async (_, spoil, reason) => {
    await start({}, {}, HASTY)
    await turnOn()
    await spoil()
    set({ tls: filesOf("next") })
    await until(() => logged(REFUSED).length === 1)
    expect(String(logged(REFUSED)[0]?.["error"])).toContain(reason)
    expect(await shown()).toBe("first")
    mkdirSync(join(facade.dir, "next"), { recursive: true })
    const { crt, key } = await authority.issue("next")
    copyFileSync(key, join(facade.dir, "next/tls.key"))
    copyFileSync(crt, join(facade.dir, "next/tls.crt"))

    await until(async () => (await shown()) === "next")
  })

  test("is turned on and off without a restart, and what is being sent ends as it began", async () => {
    const transfer = await holdTransfer(upstream)
    await start({}, {}, { specs: { small: SMALL, slow: transfer.spec } })
    await facade.get("/v2/fixed/slow/manifests/latest")
    const plain = await facade.get(`/v2/fixed/slow/blobs/${transfer.layer.digest}`)
    await turnOn()
    expect(await hasExpiry()).toBe(true)
    const tls = { ca: authority.pem }
    const url = `https://127.0.0.1:${port()}/v2/fixed/slow/blobs/${transfer.layer.digest}`
    const encrypted = await fetch(url, { tls, decompress: false })
    remove("tls")
    await until(async () => (await ask().catch(() => 0)) === 200, PATIENCE_MS)
    transfer.release()

    expect(sha256(await plain.bytes())).toBe(transfer.layer.digest)
    expect(sha256(await encrypted.bytes())).toBe(transfer.layer.digest)
    expect(await hasExpiry()).toBe(false)
    expect(logged("the port of the registry has changed its protocol").map(({ scheme }) => scheme)).toEqual([
      "https",
      "http",
    ])
  })

  test("asks for client certificates as soon as the configuration says so", async () => {
    await start()
    await turnOn()
    writeFileSync(join(facade.dir, "clients.crt"), authority.pem)
    const mine = await authority.issue("client")
    set({ tls: { ...filesOf("first"), clientCA: "clients.crt" } })
    await until(async () => (await shown()) === undefined, PATIENCE_MS)
    const options = { cert: readFileSync(mine.crt), key: readFileSync(mine.key) }

    expect((await askTls(port(), MANIFEST, options)).text).toStartWith("HTTP/1.1 200")
    expect((await askTls(port(), "/v2/fixed/small/tags/list", options)).text).toStartWith("HTTP/1.1 200")
  })

  test.each<[string, (files: Section) => void]>([
    ["does not name their authority any more", (files) => set({ tls: files })],
    ["has no TLS any more", () => remove("tls")],
  ])("E7 asks for client certificates when a changed configuration %s", async (_, weaken) => {
    await start()
    await issue("first")
    writeFileSync(join(facade.dir, "clients.crt"), authority.pem)
    const files = filesOf("first")
    set({ tls: { ...files, clientCA: "clients.crt" } })
    await applied(1)
    await until(() => logged("the port of the registry has changed its protocol").length === 1)
    weaken(files)
    await until(() => logged(CLOSED).length === 1)

    await expect(openTls(port()).then((socket) => closed(socket))).rejects.toThrow()
    expect(await ask().catch(() => "no answer")).not.toBe(200)
    expect(logged(CLOSED)[0]?.["keys"]).toEqual(["registry.tls"])
  })

  test("E7 stays where passwords come through it", async () => {
    await start(LOGIN, { users: await userLine("ann", "ann's") })
    await turnOn()
    remove("tls")
    await until(() => logged(CLOSED).length === 1)

    expect(await shown()).toBe("first")
    expect(logged(CLOSED)[0]?.["keys"]).toEqual(["registry.tls"])
  })
})

/** With TLS 1.3 a client learns that its certificate is missing after its own handshake is done. */
async function closed(socket: Awaited<ReturnType<typeof openTls>>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.on("error", reject)
  socket.on("data", () => resolve())
  socket.on("close", () => reject(new Error("Closed")))
  socket.write(`GET ${MANIFEST} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await promise
}
