import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { installHelper, printing } from "../helpers/credential-helper.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { image, layer, opaqueLayer, type TestImage, type TestLayer } from "../helpers/images.ts"
import { requireLogin, startTokenServer, type TokenServer } from "../helpers/login-server.ts"
import { type ProxyServer, startProxy } from "../helpers/proxy-server.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { type Role, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(120_000)

const KINDS = [
  "basic",
  "password",
  "token",
  "refresh",
  "access",
  "registry",
  "helper",
  "file",
  "mirror",
  "proxy",
  "url",
  "query",
] as const
type Kind = (typeof KINDS)[number]

/** A secret of its own in every place that holds one. */
const CANARIES = Object.fromEntries(KINDS.map((kind) => [kind, `canary-${kind}-${crypto.randomUUID()}`])) as Record<
  Kind,
  string
>

/** Every form in which a secret may show. */
function formsOf(kind: Kind): readonly string[] {
  const secret = CANARIES[kind]
  const encoded = ["me", "", kind].map((user) => Buffer.from(`${user}:${secret}`).toString("base64"))
  return [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64"), ...encoded]
}
const heldBy = (text: string): readonly Kind[] =>
  KINDS.filter((kind) => formsOf(kind).some((form) => text.includes(form)))

const HOSTS = [
  "basic",
  "bearer",
  "refreshed",
  "registered",
  "helped",
  "filed",
  "mirrored",
  "mirror",
  "proxied",
  "linked",
  "evil",
] as const
type Host = (typeof HOSTS)[number]

/** Who may see what. */
const MAY_SEE: Readonly<Record<Host, readonly Kind[]>> = {
  basic: ["basic"],
  bearer: ["token"],
  refreshed: ["access"],
  registered: ["registry"],
  helped: ["helper"],
  filed: ["file"],
  mirrored: [],
  mirror: ["mirror"],
  proxied: [],
  linked: ["url", "query"],
  evil: [],
}

/** What a registry does to us, before it asks for a login and after. */
const TROUBLES: Readonly<Record<string, (evil: UpstreamServer) => Response | "cut">> = {
  "401 without a challenge": () => new Response(null, { status: 401 }),
  "401 with another scheme": () => challenge("Negotiate abc"),
  "401 with a realm elsewhere": (evil) =>
    challenge(`Bearer realm="${evil.url.href.replace("127.0.0.1", "localhost")}token",service="x"`),
  "403": () => new Response("no", { status: 403 }),
  "404": () => new Response("no", { status: 404 }),
  "418": () => new Response("no", { status: 418 }),
  "429": () => new Response("no", { status: 429, headers: { "retry-after": "0" } }),
  "500": () => new Response("no", { status: 500 }),
  "a redirect elsewhere": (evil) => Response.redirect(`${evil.url.href}x`, 307),
  "a redirect to another name": (evil) => Response.redirect(`${evil.url.href.replace("127.0.0.1", "localhost")}x`, 302),
  "a redirect to a metadata service": () => Response.redirect("http://169.254.169.254/x", 307),
  "a redirect without end": () => new Response(null, { status: 307, headers: { location: "" } }),
  "a web page": () => new Response("<html>", { headers: { "content-type": "text/html" } }),
  "other bytes": () => new Response("x".repeat(100)),
  "an encoded body": () => new Response("x", { headers: { "content-encoding": "gzip" } }),
}
const challenge = (text: string) => new Response(null, { status: 401, headers: { "www-authenticate": text } })

describe("secrets", () => {
  const hosts = {} as Record<Host, UpstreamServer>
  let tokens: TokenServer
  let proxy: ProxyServer
  let facade: RunningFacade
  let dir: string
  let metrics: string
  let trouble: (() => Response) | null = null
  let isAfterLogin = false
  const answers: string[] = []
  /** Of all the processes. */
  const logs: string[] = []
  let starts = 0
  let linked: TestLayer
  const images = {} as Record<Host, TestImage>

  beforeAll(async () => {
    for (const [seed, host] of HOSTS.entries()) {
      hosts[host] = startUpstream()
      images[host] = await image({ layers: [opaqueLayer(20_000, 500 + seed)] })
      if (host !== "evil" && host !== "mirrored") hosts[host].add("lab/app", "1", images[host])
    }
    hosts.mirror.add("lab/app", "1", images.mirrored)
    hosts.mirrored.add("lab/app", "1", images.mirrored)
    tokens = startTokenServer()
    tokens.answer = () => {
      const kind = tokens.asked.at(-1)?.form === null ? "token" : "access"
      return Response.json({ token: CANARIES[kind], access_token: CANARIES[kind], expires_in: 1 })
    }
    hosts.linked.roles.push(() => new Response(linked.bytes))
    logins()
    for (const host of HOSTS) hosts[host].roles.push(troubleOf(host))
    proxy = await startProxy({
      leadsTo: new Map([["proxied.test:80", Number(hosts.proxied.url.port)]]),
      authorization: `Basic ${Buffer.from(`me:${CANARIES.proxy}`).toString("base64")}`,
    })
    dir = tempDir()
    metrics = `127.0.0.1:${freePort()}`
    await start()
  })
  afterAll(async () => {
    await facade?.stop()
    for (const server of Object.values(hosts)) server.stop()
    tokens.stop()
    proxy.stop()
  })

  function logins(): void {
    const basic = (host: Host, user: string, secret: string) => {
      const expected = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`
      requireLogin(hosts[host], 'Basic realm="lab"', (authorization) => authorization === expected)
    }
    const bearer = (host: Host, secret: string) =>
      requireLogin(hosts[host], `Bearer realm="${tokens.url}",service="lab"`, (value) => value === `Bearer ${secret}`)
    basic("basic", "me", CANARIES.basic)
    basic("helped", "me", CANARIES.helper)
    basic("filed", "me", CANARIES.file)
    basic("mirror", "me", CANARIES.mirror)
    bearer("bearer", CANARIES.token)
    bearer("refreshed", CANARIES.access)
    bearer("registered", CANARIES.registry)
  }

  function troubleOf(host: Host): Role {
    return (request) => {
      if (host === "evil") return challenge(`Basic realm="x", Bearer realm="${hosts.evil.url.href}token"`)
      if (trouble === null || (isAfterLogin && !request.headers.has("authorization"))) return null
      return trouble()
    }
  }

  async function start(): Promise<void> {
    const auth = (secret: string) => ({ auth: Buffer.from(`me:${secret}`).toString("base64") })
    const file = {
      auths: {
        [hosts.basic.host]: auth(CANARIES.basic),
        [hosts.bearer.host]: auth(CANARIES.password),
        [hosts.refreshed.host]: { identitytoken: CANARIES.refresh },
        [hosts.registered.host]: { registrytoken: CANARIES.registry },
        [hosts.mirror.host]: auth(CANARIES.mirror),
      },
      credHelpers: { [hosts.helped.host]: "canary" },
    }
    writeFileSync(join(dir, "auth.json"), JSON.stringify(file))
    writeFileSync(join(dir, "password"), CANARIES.file)
    const helper = installHelper("canary", printing("me", CANARIES.helper))
    linked = await layer({ a: `${starts}` }) // another one each time, so that it is not in the store
    const url = `http://me:${CANARIES.url}@${hosts.linked.host}/layer.tar?signature=${CANARIES.query}`
    const names = HOSTS.filter((host) => !["mirror", "proxied", "linked", "evil"].includes(host))
    const specs = {
      ...Object.fromEntries(names.map((host) => [host, { baseRef: `${hosts[host].host}/lab/app:1` }])),
      proxied: { baseRef: "proxied.test/lab/app:1" },
      linked: { baseRef: "scratch", layers: [{ url, digest: linked.digest, size: linked.size }] },
    }
    const upstreams = {
      [hosts.filed.host]: { username: "me", passwordFile: "password" },
      [hosts.mirrored.host]: { mirrors: [hosts.mirror.url.origin] },
      "proxied.test": { plainHTTP: true },
    }
    starts += 1
    facade = await startFacade({
      mode: "binary",
      dir,
      specs,
      registry: { tagTTL: "0s", upstreams, store: "store" },
      config: { dockerAuth: "auth.json", prometheusAddr: metrics },
      env: {
        PATH: `${helper.dir}:${process.env["PATH"]}`,
        HTTP_PROXY: `http://me:${CANARIES.proxy}@${proxy.url.host}`,
      },
    })
  }

  async function restart(): Promise<void> {
    logs.push(...facade.logs.map((entry) => JSON.stringify(entry)))
    await facade.stop()
    await start()
  }

  async function pull(name: string): Promise<number> {
    const note = async (answer: Response) => {
      answers.push(`${JSON.stringify([...answer.headers])}\n${await answer.text()}`)
      return answer.status
    }
    const status = await note(await facade.get(`/v2/fixed/${name}/manifests/latest`))
    const blobs = [...(images[name as Host]?.layers ?? []), images[name as Host]?.config].filter(
      (blob) => blob !== undefined,
    )
    for (const { digest } of blobs)
      await note(await facade.get(`/v2/fixed/${name}/blobs/${digest}`).catch(() => new Response("")))
    return status
  }
  const NAMES = HOSTS.filter((host) => host !== "mirror" && host !== "evil")

  test("all of them are used, and open what they are for", async () => {
    const statuses = []
    for (const name of NAMES) statuses.push([name, await pull(name)])

    expect(statuses).toEqual(NAMES.map((name) => [name, 200]))
    const seen = [...Object.values(hosts).flatMap((server) => server.seen), ...tokens.asked, ...proxy.seen]
    const text = JSON.stringify(seen, (_, value) =>
      value instanceof Headers || value instanceof Map ? [...value] : value,
    )
    const sent = `${text}${tokens.asked.map(({ form }) => form)}`
    expect(KINDS.filter((kind) => heldBy(sent).includes(kind) || kind === "url" || kind === "query")).toEqual([
      ...KINDS,
    ])
  })

  // A process of its own each, because what was refused is not tried again for a while
  test.each(Object.keys(TROUBLES))("pulls go on through %s", async (name) => {
    await restart()
    for (const after of [false, true]) {
      isAfterLogin = after
      trouble = () => {
        const answer = TROUBLES[name]?.(hosts.evil)
        return answer instanceof Response ? answer : new Response(null, { status: 500 })
      }
      await Promise.all(NAMES.map(pull))
    }
    trouble = null
    expect((await facade.get("/v2/")).status).toBe(200)
  })

  test("C1, C9: no host sees what is meant for another", () => {
    for (const host of HOSTS) {
      const text = hosts[host].seen.map(({ path, headers }) => `${path} ${JSON.stringify([...headers])}`).join("\n")
      expect([host, heldBy(text).filter((kind) => !MAY_SEE[host].includes(kind))]).toEqual([host, []])
    }
    const asked = tokens.asked.map(({ query, authorization, form }) => `${query} ${authorization} ${form}`).join("\n")
    expect(heldBy(asked).toSorted()).toEqual(["password", "refresh"])
    const proxied = proxy.seen.map(({ target, headers }) => `${target} ${JSON.stringify([...headers])}`).join("\n")
    expect(heldBy(proxied)).toEqual(["proxy"])
  })

  test("C9, K3: none is in a log line, a metric, an answer, or on disk", async () => {
    const scraped = await (await fetch(`http://${metrics}/metrics`)).text()
    const stored = readdirSync(join(dir, "store"), { recursive: true, encoding: "utf8" })
      .map((name) => join(dir, "store", name))
      .map((path) => (statSync(path).isFile() ? `${path}\n${readFileSync(path, "latin1")}` : path))

    expect(logs.length).toBeGreaterThan(100)
    expect(heldBy(logs.join("\n"))).toEqual([])
    expect(heldBy(scraped)).toEqual([])
    expect(heldBy(answers.join("\n"))).toEqual([])
    expect(stored.length).toBeGreaterThan(10)
    expect(heldBy(stored.join("\n"))).toEqual([])
  })
})
