import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, opaqueLayer, sha256, type TestImage } from "../helpers/images.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

/** A registry that sends clients to a storage with URLs that are good for a while, as those in clouds do. */
let upstream: UpstreamServer
let storage: UpstreamServer
let app: TestImage
let facade: RunningFacade
/** Signatures that were given, and those that are good no more. */
let given: string[]
let expired: Set<string>
/** What the storage answers to a signature that is not good. */
let refusal: () => Response
beforeEach(async () => {
  upstream = startUpstream()
  storage = startUpstream()
  app = await image({ layers: [opaqueLayer(300_000, 31)] })
  given = []
  expired = new Set()
  refusal = () => new Response("<Error><Code>AccessDenied</Code></Error>", { status: 403 })
  upstream.add("lab/app", "1", app)
  storage.add("lab/app", "1", app)
  upstream.roles.push((_, { pathname }) => {
    if (!pathname.includes("/blobs/")) return null
    given.push(`s3cret-${given.length + 1}`)
    return Response.redirect(`${storage.url.origin}${pathname}?signature=${given.at(-1)}`, 307)
  })
  storage.roles.push((_, { searchParams }) => {
    const signature = searchParams.get("signature") ?? ""
    return expired.has(signature) || !given.includes(signature) ? refusal() : null
  })
  facade = await startFacade({ specs: { app: { baseRef: `${upstream.host}/lab/app:1` } }, tuning: IMPATIENT })
  await facade.get("/v2/fixed/app/manifests/latest")
})
afterEach(async () => {
  await facade.stop()
  upstream.stop()
  storage.stop()
})

const [digest, bytes] = [() => app.layers[0]?.digest ?? "", () => app.layers[0]?.bytes ?? new Uint8Array()]
const pull = async () => await facade.get(`/v2/fixed/app/blobs/${digest()}`)
const pulled = async () => sha256(new Uint8Array(await (await pull()).arrayBuffer()))

describe("signed URLs of a storage", () => {
  test.each([
    ["403", () => new Response("<Error/>", { status: 403 })],
    ["400", () => new Response("<Error><Code>ExpiredToken</Code></Error>", { status: 400 })],
    ["401", () => new Response(null, { status: 401 })],
    ["404", () => new Response(null, { status: 404 })],
  ])("B4: one that has expired before it is used, %s, is replaced by a new one of the registry", async (_, answer) => {
    refusal = answer
    expired.add(`s3cret-${given.length + 1}`)
    const before = given.length

    expect(await pulled()).toBe(digest())
    expect(given.length - before).toBe(2)
  })

  test("B4: one that expires in the middle of a transfer, too, which goes on where it was", async () => {
    const asked: (string | null)[] = []
    storage.roles.push((request, { pathname, searchParams }) => {
      if (!pathname.endsWith(digest())) return null
      asked.push(request.headers.get("range"))
      const signature = searchParams.get("signature") ?? ""
      if (expired.has(signature) || asked.length > 1) return null
      expired.add(signature)
      const cut = new ReadableStream({
        start: (controller) => {
          controller.enqueue(bytes().slice(0, 100_000))
          controller.close()
        },
      })
      return new Response(cut)
    })

    expect(await pulled()).toBe(digest())
    expect(asked).toEqual([null, "bytes=100000-"])
    expect(given.at(-1)).not.toBe(given.at(-2))
  })

  test("B4: each transfer gets one of its own: none is remembered", async () => {
    expect(await pulled()).toBe(digest())
    const uses = storage.seen.filter(({ path }) => path.endsWith(digest())).length

    expect(uses).toBe(1)
    expect(new Set(given).size).toBe(given.length)
  })

  test("B4, C9: a storage that refuses for good is told by its name, without the signature", async () => {
    storage.roles.push((_, { pathname }) => (pathname.endsWith(digest()) ? refusal() : null))
    const answer = await pull()
    const text = await answer.text()

    expect(answer.status).toBe(503)
    expect(text).toContain(`the storage at ${storage.host}, where it is redirected to, answered 403`)
    expect(text + JSON.stringify(facade.logs)).not.toContain("s3cret")
  })
})
