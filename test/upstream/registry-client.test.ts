import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { type Clock, systemClock } from "../../src/lib/clock.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import type { Credential } from "../../src/upstream/keychain.ts"
import { RegistryClient } from "../../src/upstream/registry-client.ts"
import { TokenCache } from "../../src/upstream/token.ts"
import { testEgress } from "../helpers/egress.ts"
import { image, layer } from "../helpers/images.ts"
import { keychainOf } from "../helpers/keychain.ts"
import { never } from "../helpers/layers.ts"
import { requireLogin, startTokenServer, type TokenServer } from "../helpers/login-server.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const ME: Credential = { kind: "password", username: "me", password: "hünter2:x" }
const BASIC = `Basic ${Buffer.from("me:hünter2:x").toString("base64")}`

let upstream: UpstreamServer
let tokens: TokenServer
beforeEach(async () => {
  upstream = startUpstream()
  tokens = startTokenServer()
  upstream.add("lab/app", "1", await image())
  upstream.add("lab/other", "1", await image({ layers: [await layer({ o: "o" })] }))
})
afterEach(() => {
  upstream.stop()
  tokens.stop()
})

function connect(credential: Credential | null, clock: Clock = systemClock) {
  const egress = testEgress()
  const metrics = createMetrics()
  const client = new RegistryClient({
    endpoint: { baseURL: upstream.url, mirrorOf: null, realms: [], label: "other" },
    egress,
    keychain: keychainOf(credential),
    tokens: new TokenCache({ egress, clock: systemClock, metrics }),
    metrics,
    clock,
    refusedMs: 10_000,
  })
  const get = async (path = "manifests/1", name = "lab/app") => {
    const [host, repository] = [upstream.host, name]
    const response = await client.request(
      { repository: { host, path: repository }, kind: "manifest", method: "GET", path, what: `Cannot get ${name}` },
      never,
    )
    await response.body?.cancel()
    return response.status
  }
  const counted = async () =>
    (await metrics.upstreamRequests.get()).values.map(({ labels, value }) => `${labels.kind} ${labels.code} ${value}`)
  return { client, get, counted }
}
const sent = () => upstream.seen.map(({ headers }) => headers.get("authorization"))

/** A registry that takes any token that the token server has given, and has not taken back. */
function requireToken(isValid: (token: string) => boolean = (token) => tokens.tokens.includes(token)): void {
  const challenge = `Bearer realm="${tokens.url}",service="lab registry",scope="repository:lab/app:pull"`
  requireLogin(upstream, challenge, (authorization) => isValid(authorization.replace("Bearer ", "")))
}

describe("a registry without login", () => {
  test("is sent no credentials that it has not asked for", async () => {
    const { get } = connect(ME)

    expect(await get()).toBe(200)
    expect(sent()).toEqual([null])
  })
})

describe("a registry with Basic login", () => {
  test("is asked once without, and then always with the credential", async () => {
    requireLogin(upstream, 'Basic realm="lab"', (authorization) => authorization === BASIC)
    const { get } = connect(ME)

    expect([await get(), await get()]).toEqual([200, 200])
    expect(sent()).toEqual([null, BASIC, BASIC])
  })

  test("that does not like the credential is asked no further", async () => {
    requireLogin(upstream, 'Basic realm="lab"', () => false)
    const { get } = connect(ME)

    await expect(get()).rejects.toThrow(
      `Cannot get lab/app: ${upstream.host} does not accept the user and password; check the credentials for ${upstream.host}/lab/app`,
    )
    expect(sent()).toEqual([null, BASIC])
  })

  test.each([403, 429, 500])("answering %d has not accepted the credential that it refuses later", async (status) => {
    let isLoggedIn = true
    requireLogin(upstream, 'Basic realm="lab"', () => isLoggedIn)
    upstream.roles.push((request) =>
      isLoggedIn && request.headers.get("authorization") === BASIC ? new Response(null, { status }) : null,
    )
    const { get } = connect(ME)
    expect(await get()).toBe(status)
    isLoggedIn = false
    await expect(get()).rejects.toThrow("does not accept the user and password")
    const asked = upstream.seen.length

    await expect(get()).rejects.toThrow("does not accept the user and password")
    expect(upstream.seen.length).toBe(asked)
  })

  test("without a credential is told to the user", async () => {
    requireLogin(upstream, 'Basic realm="lab"', () => true)

    await expect(connect(null).get()).rejects.toMatchObject({
      code: "DENIED",
      message: expect.stringContaining("wants a user and a password, and there are none for it"),
    })
  })
})

describe("a registry with Bearer login", () => {
  test("gets a token that was asked for with service, scope and credential", async () => {
    requireToken()
    const { get, counted } = connect(ME)

    expect(await get()).toBe(200)
    expect(tokens.asked.map(({ query, authorization }) => [...query, authorization])).toEqual([
      [["service", "lab registry"], ["scope", "repository:lab/app:pull"], BASIC],
    ])
    expect(sent()).toEqual([null, "Bearer token-1"])
    expect((await counted()).sort()).toEqual(["manifest 200 1", "manifest 401 1", "token 200 1"])
  })

  test("may name a token server for each repository, and each is learnt once", async () => {
    const other = startTokenServer()
    upstream.roles.push((request, { pathname }) => {
      const { url } = pathname.startsWith("/v2/lab/other/") ? other : tokens
      const isGiven = url === other.url ? other.tokens : tokens.tokens
      if (isGiven.includes(request.headers.get("authorization")?.replace("Bearer ", "") ?? "")) return null
      return new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${url}",service="lab"` } })
    })
    const { get } = connect(null)
    const statuses = []
    for (let round = 0; round < 4; round += 1) statuses.push(await get(), await get("manifests/1", "lab/other"))
    other.stop()

    expect(new Set(statuses)).toEqual(new Set([200]))
    expect([tokens.asked.length, other.asked.length]).toEqual([2, 1]) // the other repository is tried with the first's once
    expect(sent().filter((authorization) => authorization === null)).toHaveLength(1)
  })

  test("gets an anonymous token where there is no credential", async () => {
    requireToken()

    expect(await connect(null).get()).toBe(200)
    expect(tokens.asked[0]?.authorization).toBeNull()
  })

  test("one token serves all requests for a repository, another repository has another", async () => {
    requireToken()
    const { get } = connect(ME)
    await get()
    for (let asked = 0; asked < 3; asked += 1) await get()
    await get("manifests/1", "lab/other")

    expect(tokens.asked.map(({ query }) => query.get("scope"))).toEqual([
      "repository:lab/app:pull",
      "repository:lab/other:pull",
    ])
  })

  test("many at once cause one request for a token", async () => {
    requireToken()
    const { get } = connect(ME)
    const statuses = await Promise.all(Array.from({ length: 50 }, () => get()))

    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(tokens.asked).toHaveLength(1)
  })

  test("D-22: a token that is no longer accepted is replaced, once for all who notice", async () => {
    let valid = "token-1"
    requireToken((token) => token === valid)
    const { get } = connect(ME)
    await get()
    valid = "token-2"
    const statuses = await Promise.all(Array.from({ length: 20 }, () => get()))

    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(tokens.asked).toHaveLength(2)
  })

  test("that accepts no token at all is not asked for ever", async () => {
    requireToken(() => false)
    const { get } = connect(ME)

    expect(await get()).toBe(401)
    expect(sent().length).toBeLessThanOrEqual(3)
    expect(tokens.asked.length).toBeLessThanOrEqual(2)
  })

  test.each([
    ["401", () => new Response(null, { status: 401 }), "DENIED", "answered 401: check the credentials for"],
    ["403", () => new Response(null, { status: 403 }), "DENIED", "answered 403"],
    ["429", () => new Response(null, { status: 429 }), "TOOMANYREQUESTS", "answered 429: too many requests"],
    ["503", () => new Response(null, { status: 503 }), "UNAVAILABLE", "answered 503"],
    ["no token", () => Response.json({}), "UNAVAILABLE", "answered without a token"],
    ["a web page", () => new Response("<html>"), "UNAVAILABLE", "answered without a token"],
    [
      "a token that breaks headers",
      () => Response.json({ token: "a b\nc" }),
      "UNAVAILABLE",
      "answered without a token",
    ],
    ["a token that is a number", () => Response.json({ token: 7 }), "UNAVAILABLE", "answered without a token"],
  ] as const)("tells what its token server did: %s", async (_, answer, code, reason) => {
    requireToken()
    tokens.answer = answer
    const failure = await connect(ME)
      .get()
      .catch((error) => error)

    expect(failure.code).toBe(code)
    expect(failure.message).toContain(reason)
    expect(failure.message).toStartWith(`Cannot get lab/app: Cannot log in to ${upstream.host}: `)
    expect(failure.message).not.toContain("ünter2")
  })

  test("access_token is as good as token", async () => {
    requireToken((token) => token === "other")
    tokens.answer = () => Response.json({ access_token: "other" })

    expect(await connect(ME).get()).toBe(200)
  })

  test("credentials never go to a token server that does not belong to it", async () => {
    const realm = tokens.url.href.replace("127.0.0.1", "localhost")
    requireLogin(upstream, `Bearer realm="${realm}",service="x"`, () => false)

    await expect(connect(ME).get()).rejects.toMatchObject({
      code: "DENIED",
      message: expect.stringContaining(`it sends clients to ${new URL(realm).host} for tokens`),
    })
    expect(tokens.asked).toEqual([])
  })

  test.each(["", "Negotiate", 'Bearer realm="nowhere"', "Digest realm=x"])(
    "challenge %j is told as it is",
    async (challenge) => {
      requireLogin(upstream, challenge, () => false)

      await expect(connect(ME).get()).rejects.toThrow(`${upstream.host} does not say how to log in`)
    },
  )
})

describe("redirects", () => {
  test.each([
    ["Basic", () => requireLogin(upstream, 'Basic realm="lab"', (authorization) => authorization === BASIC)],
    ["Bearer", () => requireToken()],
  ])("%s authorization goes nowhere else", async (_, login) => {
    const elsewhere: (string | null)[] = []
    const storage = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => {
        elsewhere.push(request.headers.get("authorization"))
        return new Response("content")
      },
    })
    upstream.roles.push((request, url) =>
      url.pathname.includes("/blobs/") && request.headers.get("authorization") !== null
        ? Response.redirect(`http://127.0.0.1:${storage.port}/signed`, 307)
        : null,
    )
    login()
    const { get } = connect(ME)

    expect(await get("blobs/x")).toBe(200)
    expect(elsewhere).toEqual([null])
    await storage.stop(true)
  })

  test("a token server that redirects does not pass the credential on", async () => {
    const elsewhere: (string | null)[] = []
    const other = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => {
        elsewhere.push(request.headers.get("authorization"))
        return Response.json({ token: "stolen" })
      },
    })
    requireToken((token) => token === "stolen")
    tokens.answer = () => Response.redirect(`http://127.0.0.1:${other.port}/`, 302)

    expect(await connect(ME).get()).toBe(200)
    expect(elsewhere).toEqual([null])
    await other.stop(true)
  })

  test("a storage's 401 is no login of the registry", async () => {
    const storage = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${tokens.url}"` } }),
    })
    upstream.roles.push(() => Response.redirect(`http://127.0.0.1:${storage.port}/signed`, 307))

    expect(await connect(ME).get("blobs/x")).toBe(401)
    expect(tokens.asked).toEqual([])
    await storage.stop(true)
  })
})
