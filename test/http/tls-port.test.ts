import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { appendFileSync, copyFileSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { TLSSocket } from "node:tls"
import { type Authority, createAuthority, type Pair } from "../helpers/certificates.ts"
import { type Mode, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { needs, output, run } from "../helpers/programs.ts"
import { rawConversation } from "../helpers/raw-http.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { askTls, openTls } from "../helpers/tls-client.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const SPECS = { small: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }
const MANIFEST = "/v2/fixed/small/manifests/latest"
const read = (path: string) => readFileSync(path, "utf8")
const portOf = ({ host }: RunningFacade) => Number(host.split(":")[1])

/** Puts a pair where the facade looks for it, each file in one step. */
function install(dir: string, { crt, key }: Pair): void {
  for (const [source, name] of [
    [crt, "tls.crt"],
    [key, "tls.key"],
  ] as const) {
    copyFileSync(source, join(dir, `${name}.new`))
    renameSync(join(dir, `${name}.new`), join(dir, name))
  }
}

/** A connection on which a request begins and never ends. */
async function half(facade: RunningFacade, head: string): Promise<TLSSocket> {
  const socket = await openTls(portOf(facade))
  socket.resume()
  if (head !== "") socket.write(head)
  return socket
}

const TLS = { crt: "tls.crt", key: "tls.key" }
const required = needs("openssl", "curl")
describe.skipIf(required.isMissing)(`a registry with TLS${required.note}`, () => {
  let authority: Authority
  let pair: Pair
  const running: RunningFacade[] = []

  beforeAll(async () => {
    authority = await createAuthority()
    pair = await authority.issue("first")
  })
  afterAll(async () => {
    for (const facade of running) await facade.stop()
  })

  interface StartOptions {
    readonly mode?: Mode
    readonly tls?: Readonly<Record<string, string>>
    readonly registry?: Readonly<Record<string, unknown>>
    readonly config?: Readonly<Record<string, unknown>>
    readonly env?: Readonly<Record<string, string>>
    readonly pair?: Pair
  }

  async function start({ tls = {}, registry = {}, pair: first = pair, ...rest }: StartOptions = {}) {
    const dir = tempDir()
    install(dir, first)
    const options = { dir, specs: SPECS, clientTls: { ca: authority.pem }, ...rest }
    const facade = await startFacade({ ...options, registry: { tls: { ...TLS, ...tls }, ...registry } })
    running.push(facade)
    return facade
  }

  describe.each(["source", "binary"] as const)("as %s", (mode) => {
    test("serves images to those who trust its authority, and to nobody else's", async () => {
      const facade = await start({ mode })
      const answer = await facade.get(MANIFEST)
      const untrusting = fetch(`${facade.url}${MANIFEST}`, { tls: { ca: read(pair.key) } })

      expect(facade.url).toStartWith("https://")
      expect([answer.status, answer.headers.get("docker-content-digest")]).toEqual([
        200,
        expect.stringMatching(/^sha256:/),
      ])
      await expect(untrusting).rejects.toThrow()
      expect(facade.logs.map(({ message }) => message)).toContain("HTTPS registry server listening")
    })

    test("D-27, I5: shows a new certificate soon after its files were replaced", async () => {
      const facade = await start({ mode })
      const [before, next] = [await askTls(portOf(facade), MANIFEST), await authority.issue("second")]
      install(facade.dir, next)
      await until(async () => (await askTls(portOf(facade), MANIFEST)).server === "second")

      expect(before.server).toBe("first")
      // Log lines are written together, a moment later
      await until(() =>
        facade.logs.some(
          ({ message, subject }) => message === "reloading certificate after change" && subject === "CN=second",
        ),
      )
    })
  })

  test.each([
    [
      "a key of another certificate",
      async (dir: string) => copyFileSync((await authority.issue("other")).key, join(dir, "tls.key")),
    ],
    ["half a certificate", async (dir: string) => writeFileSync(join(dir, "tls.crt"), read(pair.crt).slice(0, 300))],
    ["an empty file", async (dir: string) => writeFileSync(join(dir, "tls.key"), "")],
    ["a certificate that has expired", async (dir: string) => install(dir, await authority.issue("late", -1))],
  ])("I5: keeps its certificate when it gets %s, and tells so", async (_, spoil) => {
    const facade = await start({ config: { prometheusAddr: "127.0.0.1:0" } })
    await spoil(facade.dir)
    const failure = () => facade.logs.filter(({ message }) => String(message).startsWith("cannot use changed"))
    await until(() => failure().length === 1)
    const kept = (await askTls(portOf(facade), MANIFEST)).server
    const next = await authority.issue("second")
    install(facade.dir, next)
    await until(async () => (await askTls(portOf(facade), MANIFEST)).server === "second")

    expect(kept).toBe("first")
    expect(failure()).toEqual([
      expect.objectContaining({ level: "error", error: expect.stringMatching(/^Cannot use .*tls\.(crt|key): /) }),
    ])
  })

  test("counts reloads and their failures, and tells when the certificate expires", async () => {
    const facade = await start({ config: { prometheusAddr: "127.0.0.1:0" } })
    const metrics = facade.logs.find(({ message }) => message === "started Prometheus metrics server")?.["addr"]
    const scrape = async () => await (await fetch(`http://${metrics}/metrics`)).text()
    appendFileSync(join(facade.dir, "tls.crt"), "# a comment changes nothing\n")
    await until(async () => (await scrape()).includes('config_reloads_total{result="success"} 1'))
    writeFileSync(join(facade.dir, "tls.key"), "nothing")
    await until(async () => (await scrape()).includes('config_reloads_total{result="failure"} 1'))
    const expiry = /expiry_timestamp_seconds\{listener="registry"\} (\d+)/.exec(await scrape())?.[1]

    expect(Number(expiry) - Date.now() / 1000).toBeWithin(29 * 86_400, 30 * 86_400 + 1)
  })

  test("I5: starts with a certificate that has expired, because it has no better one, and warns", async () => {
    const facade = await start({ pair: await authority.issue("late", -1) })

    expect(facade.logs).toContainEqual(
      expect.objectContaining({ level: "warning", message: "clients will refuse this certificate" }),
    )
    expect((await askTls(portOf(facade), MANIFEST)).server).toBe("late")
  })

  test("shows the certificates that signed its own, too", async () => {
    const chain = join(tempDir(), "chain.crt")
    writeFileSync(chain, read(pair.crt) + authority.pem)
    const facade = await start({ pair: { crt: chain, key: pair.key } })
    const { stdout } = await run(["openssl", "s_client", "-connect", facade.host, "-showcerts"])

    expect(stdout.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
  })

  test("does not start with files that make no pair", async () => {
    const other = await authority.issue("other")

    await expect(start({ pair: { crt: pair.crt, key: other.key } })).rejects.toThrow(/tls\.key: it is not the key of/)
    await expect(start({ tls: { crt: "missing.crt" } })).rejects.toThrow(/Cannot read .*missing\.crt/)
    await expect(start({ tls: { clientCA: "tls.key" } })).rejects.toThrow(/tls\.key: it holds no PEM certificate/)
  })

  test.each([
    ["TLSv1", "-tls1", false],
    ["TLSv1.1", "-tls1_1", false],
    ["TLSv1.2", "-tls1_2", true],
    ["TLSv1.3", "-tls1_3", true],
  ])("speaks %s: %#", async (name, flag, isSpoken) => {
    const facade = await start()
    const command = ["openssl", "s_client", "-connect", facade.host, flag, "-cipher", "ALL:@SECLEVEL=0"]
    const { stdout, stderr } = await run(command)

    expect(stdout.includes(`New, ${name}, Cipher is`)).toBe(isSpoken)
    expect(/alert protocol version|alert handshake failure/.test(stderr)).toBe(!isSpoken)
  })

  test("closes the connection of those who speak HTTP without TLS, and goes on", async () => {
    const facade = await start()
    const spoken = await rawConversation(facade.host, [Buffer.from("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")], 1)

    expect(spoken).toBe("")
    expect((await facade.get("/v2/")).status).toBe(200)
  })

  test("closes the connections of those who end no handshake, or send no request, and serves others meanwhile", async () => {
    const facade = await start()
    const beginnings = [new Uint8Array(), Uint8Array.of(0x16, 3, 1, 2, 0, 1, 0)]
    const hung = Array.from({ length: 200 }, (_, index) =>
      rawConversation(facade.host, [beginnings[index % 2] ?? new Uint8Array()], 1),
    )
    const late = await Promise.all(["", "GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Never: "].map((head) => half(facade, head)))
    const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await facade.get("/v2/")).status))

    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(new Set(await Promise.all(hung))).toEqual(new Set([""]))
    await until(() => late.every((socket) => socket.closed), 20_000)
  })

  test("is reached over IPv6", async () => {
    const facade = await start({ registry: { host: "::1" } })
    const url = `https://[::1]:${portOf(facade)}/v2/`

    expect((await fetch(url, { tls: { ca: authority.pem } })).status).toBe(200)
    expect(facade.logs).toContainEqual(
      expect.objectContaining({ message: "HTTPS registry server listening", addr: `[::1]:${portOf(facade)}` }),
    )
  })

  test.each(["a", "ab", "localhost:1", "[::1]", "", "UPPER.example"])("takes the Host %p", async (host) => {
    const facade = await start()
    const socket = await openTls(portOf(facade))
    const { promise, resolve } = Promise.withResolvers<string>()
    socket.on("data", (chunk: Buffer) => resolve(chunk.toString("latin1")))
    socket.write(`HEAD ${MANIFEST} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)

    expect(await promise).toStartWith("HTTP/1.1 200 OK\r\n")
    socket.destroy()
  })

  describe("that asks for client certificates", () => {
    let facade: RunningFacade
    const curl = async (...flags: readonly string[]) =>
      await run(["curl", "-sS", "--cacert", authority.path, ...flags, `${facade.url}${MANIFEST}`])
    const showing = ({ crt, key }: Pair) => ["--cert", crt, "--key", key]

    beforeAll(async () => {
      facade = await start({ tls: { clientCA: authority.path } })
    })

    test.each(["1.2", "1.3"])(
      "serves a client of its authority with TLS %s, and no answer is for shared caches",
      async (version) => {
        const client = await authority.issue("client")
        const { code, stdout } = await curl(...showing(client), "--tls-max", version, "--include")

        expect([code, stdout.split("\r\n")[0]]).toEqual([0, "HTTP/1.1 200 OK"])
        expect(stdout).not.toContain("public")
      },
    )

    test.each(["1.2", "1.3"])("serves nobody without one, with TLS %s", async (version) => {
      const { code, stdout } = await curl("--tls-max", version)

      expect(stdout).toBe("")
      expect([35, 52, 56]).toContain(code)
    })

    test.each(["1.2", "1.3"])("serves nobody with somebody else's, with TLS %s", async (version) => {
      const stranger = await (await createAuthority("Test CA")).issue("client")
      const { code, stdout } = await curl(...showing(stranger), "--tls-max", version)

      expect(stdout).toBe("")
      expect([35, 52, 56]).toContain(code)
    })

    test("serves nobody whose certificate has expired", async () => {
      const { code, stdout } = await curl(...showing(await authority.issue("client", -1)))

      expect(stdout).toBe("")
      expect([35, 52, 56]).toContain(code)
    })

    test("follows the file of authorities", async () => {
      const dir = tempDir()
      const clients = join(dir, "clients.crt")
      writeFileSync(clients, authority.pem)
      const strict = await start({ tls: { clientCA: clients } })
      const [ours, newer] = [await authority.issue("client"), await createAuthority("Newer CA")]
      const theirs = await newer.issue("client")
      const status = async ({ crt, key }: Pair) =>
        (await run(["curl", "-sS", "--cacert", authority.path, "--cert", crt, "--key", key, `${strict.url}/v2/`])).code
      const before = [await status(ours), (await status(theirs)) === 0]
      writeFileSync(clients, newer.pem)
      await until(async () => (await status(theirs)) === 0)

      expect(before).toEqual([0, false])
      expect(await status(ours)).not.toBe(0)
    })
  })

  describe("and REGFAC_NO_TLS_DEBUG", () => {
    test("C-16: serves the same without TLS at that address, too", async () => {
      const facade = await start({ mode: "binary", env: { REGFAC_NO_TLS_DEBUG: "127.0.0.1:0" } })
      const opened = () => facade.logs.find(({ message }) => message === "serving without TLS, too")
      await until(() => opened() !== undefined)
      const address = String(opened()?.["addr"])
      const plain = await fetch(`http://${address}${MANIFEST}`)

      expect(plain.headers.get("docker-content-digest")).toBe(
        (await facade.get(MANIFEST)).headers.get("docker-content-digest") ?? "none",
      )
      expect(opened()).toMatchObject({ level: "warning", env: "REGFAC_NO_TLS_DEBUG" })
    })

    test.each(["true", "127.0.0.1:99999", "192.0.2.1:9091"])(
      "set to %p, which is no address of ours, is logged only",
      async (address) => {
        const facade = await start({ env: { REGFAC_NO_TLS_DEBUG: address } })

        expect((await facade.get("/v2/")).status).toBe(200)
        expect(facade.logs).toContainEqual(
          expect.objectContaining({ level: "error", message: "cannot serve without TLS, too", addr: address }),
        )
      },
    )
  })

  test("takes an authority of its own that the original asked for, and makes no use of it", async () => {
    const facade = await start({ tls: { ca: "/there/is/no/such/file" } })

    expect(await output(["curl", "-sS", "--cacert", authority.path, `${facade.url}/v2/`])).toBe("{}")
  })
})
