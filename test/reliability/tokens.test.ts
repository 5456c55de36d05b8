import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { type FacadeOptions, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, opaqueLayer, sha256, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { requireLogin, startTokenServer, type TokenServer } from "../helpers/login-server.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"
import { upstreamLogin } from "../helpers/users.ts"

let upstream: UpstreamServer
let tokens: TokenServer
let dir: string
let app: TestImage
let facade: RunningFacade
beforeEach(async () => {
  upstream = startUpstream()
  tokens = startTokenServer()
  dir = tempDir()
  app = await image({ layers: Array.from({ length: 50 }, (_, seed) => opaqueLayer(20_000, 100 + seed)) })
  upstream.add("lab/app", "1", app)
})
afterEach(async () => {
  await facade.stop()
  upstream.stop()
  tokens.stop()
})

const ME = `Basic ${Buffer.from("me:s3cret").toString("base64")}`

async function start(options: FacadeOptions = {}): Promise<void> {
  const specs = { app: { baseRef: `${upstream.host}/lab/app:1` } }
  const upstreams = { [upstream.host]: upstreamLogin("me", "s3cret") }
  facade = await startFacade({
    dir,
    specs,
    tuning: IMPATIENT,
    ...options,
    registry: { upstreams, ...options.registry },
  })
}
const challenge = () => `Bearer realm="${tokens.url}",service="lab"`
const manifest = async () => await facade.get("/v2/fixed/app/manifests/latest")
const blob = async (digest: string) => {
  const answer = await facade.get(`/v2/fixed/app/blobs/${digest}`)
  return answer.status === 200 ? sha256(new Uint8Array(await answer.arrayBuffer())) : answer.status
}

describe("tokens", () => {
  test("B1: ones that end in the middle of a pull are replaced, and the client does not notice", async () => {
    const uses = new Map<string, number>()
    requireLogin(upstream, challenge(), (authorization) => {
      const used = (uses.get(authorization) ?? 0) + 1
      uses.set(authorization, used)
      return tokens.tokens.includes(authorization.replace("Bearer ", "")) && used <= 7
    })
    await start()
    expect((await manifest()).status).toBe(200)
    const digests = app.layers.map(({ digest }) => digest)
    const pulled = new Set<string | number>()
    const left = [...digests]
    const pull = async () => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) pulled.add(await blob(next))
    }
    await Promise.all([pull(), pull(), pull()])

    expect(pulled).toEqual(new Set(digests))
    expect(tokens.asked.length).toBeGreaterThan(6)
    expect(new Set(tokens.asked.map(({ authorization }) => authorization))).toEqual(new Set([ME]))
  })

  test("B1: a transfer that breaks off goes on with a new token where the old one has ended", async () => {
    const layer = opaqueLayer(400_000, 7)
    upstream.add("lab/app", "1", await image({ layers: [layer] }))
    let valid = "token-1"
    requireLogin(upstream, challenge(), (authorization) => authorization === `Bearer ${valid}`)
    upstream.roles.push((request, { pathname }) => {
      if (!pathname.endsWith(layer.digest) || request.headers.get("authorization") !== "Bearer token-1") return null
      if (valid !== "token-1") return null
      valid = "token-2"
      const cut = new ReadableStream({
        start: (controller) => {
          controller.enqueue(layer.bytes.slice(0, 150_000))
          controller.close()
        },
      })
      return new Response(cut, { headers: { "content-type": layer.mediaType } })
    })
    await start()

    expect(await blob(layer.digest)).toBe(layer.digest)
    const asked = upstream.seen.filter(({ path }) => path.endsWith(layer.digest))
    expect(asked.map(({ headers }) => [headers.get("range"), headers.get("authorization")])).toEqual([
      [null, "Bearer token-1"],
      ["bytes=150000-", "Bearer token-1"],
      ["bytes=150000-", "Bearer token-2"],
    ])
  })

  test("B2: a token server that hangs does not keep anyone from what is here", async () => {
    requireLogin(upstream, challenge(), (authorization) => tokens.tokens.includes(authorization.replace("Bearer ", "")))
    await start({ registry: { tagTTL: "1h" } })
    const [first] = app.layers
    await manifest()
    await blob(first?.digest ?? "")
    const { length } = tokens.asked
    tokens.answer = () => new Promise<never>(() => {}) as never
    upstream.roles.push(() => new Response(null, { status: 401, headers: { "www-authenticate": challenge() } }))

    expect([(await manifest()).status, await blob(first?.digest ?? "")]).toEqual([200, first?.digest ?? ""])
    expect(tokens.asked).toHaveLength(length)
  })

  test("B3: tokens that the registry refuses are not asked for again and again", async () => {
    requireLogin(upstream, challenge(), () => false)
    await start({ registry: { tagTTL: "0s" } })
    const statuses = []
    for (let pulls = 0; pulls < 10; pulls += 1) statuses.push((await manifest()).status)

    expect(new Set(statuses)).toEqual(new Set([403]))
    expect(upstream.seen.length).toBeLessThanOrEqual(3)
    expect(tokens.asked.length).toBeLessThanOrEqual(2)
    const text = await (await manifest()).text()
    expect(text).toContain(`${upstream.host}/lab/app:1`)
    expect(text).toContain("does not accept the tokens of its token server; check the credentials for")
  })

  test("C2: a realm elsewhere gets no credential, and the message says where it is", async () => {
    const realm = tokens.url.href.replace("127.0.0.1", "localhost")
    requireLogin(upstream, `Bearer realm="${realm}",service="lab"`, () => false)
    await start()
    const answer = await manifest()

    expect(answer.status).toBe(403)
    expect(await answer.text()).toContain(`it sends clients to ${new URL(realm).host} for tokens`)
    expect(tokens.asked).toEqual([])
  })

  test("C2: a token server that redirects elsewhere takes no credential there", async () => {
    const other = startTokenServer()
    tokens.answer = () => Response.redirect(other.url.href, 307)
    requireLogin(upstream, challenge(), (authorization) => other.tokens.includes(authorization.replace("Bearer ", "")))
    await start()
    await manifest()

    expect([tokens.asked[0]?.authorization, other.asked[0]?.authorization]).toEqual([ME, null])
    other.stop()
  })

  test("C1: the registry's challenge on a host that it redirects to is nobody's business", async () => {
    const storage = startUpstream()
    const stolen: (string | null)[] = []
    storage.roles.push((request) => {
      stolen.push(request.headers.get("authorization"))
      return new Response(null, { status: 401, headers: { "www-authenticate": `Basic realm="x"` } })
    })
    requireLogin(upstream, 'Basic realm="lab"', (authorization) => authorization === ME)
    upstream.roles.unshift((_, { pathname }) =>
      pathname.includes("/blobs/") && !pathname.endsWith(app.config.digest)
        ? Response.redirect(`${storage.url.href}signed`, 307)
        : null,
    )
    upstream.roles.push((request, url) =>
      url.pathname.endsWith(app.config.digest) ? contentResponse(request, app.config) : null,
    )
    await start()
    const answer = await facade.get(`/v2/fixed/app/blobs/${app.layers[0]?.digest}`)

    expect(answer.status).toBe(503)
    expect(new Set(stolen)).toEqual(new Set([null]))
  })
})
