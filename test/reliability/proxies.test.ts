import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { takeProxySettings } from "../../src/egress/proxy.ts"
import { createAuthority } from "../helpers/certificates.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { image, opaqueLayer, sha256, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { requireLogin, startTokenServer } from "../helpers/login-server.ts"
import { needs } from "../helpers/programs.ts"
import { type ProxyOptions, type ProxyServer, startProxy } from "../helpers/proxy-server.ts"
import { scrape } from "../helpers/scrape.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startTlsRegistry } from "../helpers/tls-registry.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let upstream: UpstreamServer
let app: TestImage
let dir: string
const stops: (() => unknown)[] = []
beforeEach(async () => {
  upstream = startUpstream()
  dir = tempDir()
  app = await image({ layers: [opaqueLayer(50_000, 5)] })
  stops.push(upstream.stop)
})
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function proxyTo(
  names: Readonly<Record<string, number>>,
  options: Partial<ProxyOptions> = {},
): Promise<ProxyServer> {
  const proxy = await startProxy({ leadsTo: new Map(Object.entries(names)), ...options })
  stops.push(proxy.stop)
  return proxy
}

/** Names are known to the proxy alone, as behind many firewalls. */
async function start(env: Record<string, string>, options: FacadeOptions): Promise<RunningFacade> {
  const lookup = async (hostname: string) => {
    if (/^[\d.]+$/.test(hostname)) return [hostname]
    throw new Error(`ENOTFOUND ${hostname}`)
  }
  const facade = await startFacade({
    dir,
    tuning: { ...IMPATIENT, proxies: takeProxySettings(env), lookup },
    ...options,
  })
  stops.push(facade.stop)
  return facade
}

async function pull({ get }: RunningFacade): Promise<string> {
  const manifest = await get("/v2/fixed/app/manifests/latest")
  if (manifest.status !== 200) return await manifest.text()
  const { layers } = (await manifest.json()) as { layers: { digest: string }[] }
  return sha256(new Uint8Array(await (await get(`/v2/fixed/app/blobs/${layers[0]?.digest}`)).arrayBuffer()))
}

const plain = (host: string) => ({ upstreams: { [host]: { plainHTTP: true } } })

describe("a proxy for http", () => {
  const host = "registry.test:5000"
  const specs = { app: { baseRef: `${host}/lab/app:1` } }
  beforeEach(() => upstream.add("lab/app", "1", app))

  test("is asked for everything, and for names that only it knows", async () => {
    const proxy = await proxyTo({ [host]: Number(upstream.url.port) })
    const facade = await start({ HTTP_PROXY: proxy.url.href }, { specs, registry: plain(host) })

    expect(await pull(facade)).toBe(app.layers[0]?.digest ?? "")
    expect(proxy.seen[0]).toMatchObject({ method: "GET", target: `http://${host}/v2/lab/app/manifests/1` })
    expect(upstream.seen[0]?.headers.get("host")).toBe(host)
  })

  test("gets its password, which the registry does not", async () => {
    const authorization = `Basic ${Buffer.from("me:s3cret").toString("base64")}`
    const proxy = await proxyTo({ [host]: Number(upstream.url.port) }, { authorization })
    const env = { HTTP_PROXY: `http://me:s3cret@${proxy.url.host}` }
    const facade = await start(env, { specs, registry: plain(host) })

    expect(await pull(facade)).toBe(app.layers[0]?.digest ?? "")
    expect(JSON.stringify(upstream.seen.map(({ headers }) => [...headers]))).not.toContain(authorization)
  })

  test("that wants a password is told, by its name", async () => {
    const proxy = await proxyTo({}, { authorization: "Basic x" })
    const facade = await start({ HTTP_PROXY: proxy.url.href }, { specs, registry: plain(host) })

    expect(await pull(facade)).toContain(`the proxy ${proxy.url.host}`)
  })

  test("that is not there is told, by its name and without its password", async () => {
    const facade = await start({ HTTP_PROXY: "http://me:s3cret@127.0.0.1:1" }, { specs, registry: plain(host) })
    const text = await pull(facade)

    expect(text).toContain(`${host} cannot be reached through the proxy 127.0.0.1:1`)
    expect(text).not.toContain("s3cret")
  })

  test("is passed over for NO_PROXY, and for this machine", async () => {
    const proxy = await proxyTo({})
    const direct = `${upstream.host}/lab/app:1`
    const env = { HTTP_PROXY: proxy.url.href, NO_PROXY: "registry.test" }
    const names = { app: { baseRef: direct }, named: { baseRef: `${host}/lab/app:1` } }
    const facade = await start(env, { specs: names, registry: plain(host) })

    expect(await pull(facade)).toBe(app.layers[0]?.digest ?? "")
    expect(await (await facade.get("/v2/fixed/named/manifests/latest")).text()).toContain("its name has no address")
    expect(proxy.seen).toEqual([])
  })

  test("C8: an inner address by its number is refused, proxy or not", async () => {
    const proxy = await proxyTo({ "169.254.169.254:80": Number(upstream.url.port) })
    upstream.roles.push(() => Response.redirect("http://169.254.169.254/latest/", 307))
    const leads = await proxyTo({ [host]: Number(upstream.url.port), "169.254.169.254:80": 1 })
    const facade = await start({ HTTP_PROXY: leads.url.href }, { specs, registry: plain(host) })

    expect(await pull(facade)).toContain("is not in public")
    expect([...proxy.seen, ...leads.seen].some(({ target }) => target.includes("169.254"))).toBe(false)
  })
})

test("D-22, C2: Docker Hub is found by its old name, logged in to at its token server, and tells its limits", async () => {
  const tokens = startTokenServer()
  stops.push(tokens.stop)
  const realm = "http://registry-1.docker.io/token"
  upstream.add("library/app", "1", app)
  requireLogin(upstream, `Bearer realm="${realm}",service="registry.docker.io"`, (authorization) =>
    tokens.tokens.includes(authorization.replace("Bearer ", "")),
  )
  upstream.roles.push(async (request, { pathname, search }) =>
    pathname === "/token" ? await fetch(`${tokens.url.href}${search}`, { headers: request.headers }) : null,
  )
  upstream.roles.unshift(() => null)
  const limited = { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600" }
  upstream.roles.push(async (request, { pathname }) => {
    if (!pathname.includes("/manifests/") || !request.headers.has("authorization")) return null
    const { bytes, mediaType } = app.manifest
    return new Response(bytes, { headers: { "content-type": mediaType, ...limited } })
  })
  const proxy = await proxyTo({ "registry-1.docker.io:80": Number(upstream.url.port) })
  const auth = Buffer.from("me:s3cret").toString("base64")
  writeFileSync(join(dir, "auth.json"), JSON.stringify({ auths: { "https://index.docker.io/v1/": { auth } } }))
  const metrics = `127.0.0.1:${freePort()}`
  const facade = await start(
    { HTTP_PROXY: proxy.url.href },
    {
      specs: { app: { baseRef: "app:1" } },
      registry: { upstreams: { "docker.io": { plainHTTP: true } } },
      config: { dockerAuth: "auth.json", prometheusAddr: metrics },
    },
  )

  expect(await pull(facade)).toBe(app.layers[0]?.digest ?? "")
  expect(tokens.asked[0]?.authorization).toBe(`Basic ${auth}`)
  expect(tokens.asked[0]?.query.get("scope")).toBe("repository:library/app:pull")
  const samples = await scrape(metrics)
  expect(samples.get('upstream_ratelimit_remaining{host="docker.io"}')).toBe(76)
  expect(samples.get('upstream_ratelimit_limit{host="docker.io"}')).toBe(100)
})

const openssl = needs("openssl")
describe.skipIf(openssl.isMissing)(`a proxy for https${openssl.note}`, () => {
  test("gets CONNECT, and sees nothing of what is said through it; certificates are checked behind it", async () => {
    const authority = await createAuthority()
    const secure = startTlsRegistry(app, await authority.issue("registry"))
    stops.push(secure.stop)
    const proxy = await proxyTo({ "registry.test:443": secure.port, "strict.test:443": secure.port })
    const upstreams = { "registry.test": { insecureSkipVerify: true }, "strict.test": { ca: authority.path } }
    const specs = { app: { baseRef: "registry.test/lab/app:1" }, strict: { baseRef: "strict.test/lab/app:1" } }
    const facade = await start({ HTTPS_PROXY: proxy.url.href }, { specs, registry: { upstreams } })
    const strict = await facade.get("/v2/fixed/strict/manifests/latest")

    expect(await pull(facade)).toBe(app.layers[0]?.digest ?? "")
    expect(new Set(proxy.seen.map(({ method }) => method))).toEqual(new Set(["CONNECT"]))
    expect(new Set(secure.seen)).toEqual(new Set(["registry.test"]))
    expect(strict.status).toBe(503)
    expect(await strict.text()).toContain("strict.test")
  })
})
