import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { type Authority, createAuthority, type Pair } from "../helpers/certificates.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { needs } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startTlsRegistry } from "../helpers/tls-registry.ts"
import { until } from "../helpers/until.ts"

const openssl = needs("openssl")
describe.skipIf(openssl.isMissing)(`certificates of upstreams${openssl.note}`, () => {
  let authority: Authority
  let other: Authority
  let app: TestImage
  let dir: string
  const stops: (() => unknown)[] = []
  beforeEach(async () => {
    authority = await createAuthority("one")
    other = await createAuthority("other")
    app = await image()
    dir = tempDir()
  })
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop()
  })

  /** A registry over TLS on the name localhost. */
  function serve(pair: Pair, port = 0) {
    const server = startTlsRegistry(app, pair, port)
    stops.push(server.stop)
    return { host: `localhost:${server.port}`, port: server.port, stop: server.stop }
  }
  async function start(host: string, upstream: object, options: FacadeOptions = {}): Promise<RunningFacade> {
    const lookup = async (name: string) => [/^[\d.]+$/.test(name) ? name : "127.0.0.1"]
    const facade = await startFacade({
      dir,
      specs: { app: { baseRef: `${host}/lab/app:1` } },
      tuning: { ...IMPATIENT, lookup },
      ...options,
      registry: { tagTTL: "0s", staleIfError: "0s", upstreams: { [host]: { plainHTTP: false, ...upstream } } },
    })
    stops.push(facade.stop)
    return facade
  }
  const pull = async ({ get }: RunningFacade) => await get("/v2/fixed/app/manifests/latest")

  test("an authority of the host's own is trusted, for that host alone", async () => {
    const { host } = serve(await authority.issue("registry"))

    expect((await pull(await start(host, { ca: authority.path }))).status).toBe(200)
  })

  test.each([
    ["of an authority that is not known", {}],
    ["of another authority", { ca: "OTHER" }],
  ])("A13: a certificate %s is refused at once, and the message says what to do", async (_, settings) => {
    const { host } = serve(await authority.issue("registry"))
    const upstream = JSON.parse(JSON.stringify(settings).replace("OTHER", other.path))
    const answer = await pull(await start(host, upstream))

    expect(answer.status).toBe(503)
    expect(await answer.text()).toMatch(
      new RegExp(`${host} cannot be reached: [A-Z_]+; does .*upstreams.* need a .*ca`),
    )
  })

  test("A13: a certificate for another name is refused", async () => {
    const { port } = serve(await authority.issue("registry"))
    const answer = await pull(await start(`registry.test:${port}`, { ca: authority.path }))

    expect(answer.status).toBe(503)
    expect(await answer.text()).toContain("ERR_TLS_CERT_ALTNAME_INVALID")
  })

  test("insecureSkipVerify accepts any", async () => {
    const { port } = serve(await authority.issue("registry"))

    expect((await pull(await start(`registry.test:${port}`, { insecureSkipVerify: true }))).status).toBe(200)
  })

  test("A13: a host without TLS is not asked in the clear because TLS fails", async () => {
    const seen: string[] = []
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: ({ url }) => {
        seen.push(url)
        return new Response("x")
      },
    })
    stops.push(() => server.stop(true))

    const answer = await pull(await start(`localhost:${server.port}`, {}))
    expect(answer.status).toBe(503)
    expect(await answer.text()).toMatch(/does .*upstreams.* need a .*ca.* or .*plainHTTP/)
    expect(seen).toEqual([])
  })

  test("D-27: an authority that is replaced is used by the next connection, a broken one changes nothing", async () => {
    const ca = join(dir, "ca.pem")
    copyFileSync(authority.path, ca)
    const first = serve(await authority.issue("registry"))
    const facade = await start(first.host, { ca: "ca.pem" })
    expect((await pull(facade)).status).toBe(200)
    await Bun.write(ca, "half of a certif")
    expect((await pull(facade)).status).toBe(200)
    await first.stop()
    serve(await other.issue("registry"), first.port)
    expect((await pull(facade)).status).toBe(503)
    copyFileSync(other.path, ca)

    await until(async () => (await pull(facade)).status === 200)
    const messages = facade.logs.map(({ message }) => message)
    expect(messages).toContain("cannot use changed file, the old one stays in use")
    expect(messages).toContain("reloading file after change")
  })

  test("a ca that holds no certificate keeps the facade from starting", async () => {
    await Bun.write(join(dir, "ca.pem"), "nothing")
    const failure = await start("localhost:1", { ca: "ca.pem" }).catch((error) => `${error.message}: ${error.cause}`)

    expect(failure).toContain("Cannot use the ca of localhost:1")
    expect(failure).toContain("it holds no PEM certificate")
  })

  test("a ca of Redis that is missing, or holds no certificate, keeps the facade from starting", async () => {
    const ca = join(dir, "redis-ca.pem")
    const redis = { enabled: true, singleHostAddr: "127.0.0.1:1", useTLS: true, ca }
    const failure = async () => await startFacade({ dir, specs: {}, registry: { redis } }).catch(String)

    expect(await failure()).toContain(`Cannot read ${ca}: there is no such file`)
    await Bun.write(ca, "nothing")
    expect(await failure()).toContain(`Cannot use ${ca}: it holds no PEM certificate`)
  })
})
