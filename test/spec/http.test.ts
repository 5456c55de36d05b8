import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { systemClock } from "../../src/lib/clock.ts"
import { HttpSpecSource } from "../../src/spec/http.ts"
import { startBroken } from "../helpers/broken-server.ts"
import { testEgress } from "../helpers/egress.ts"
import { type SpecWeb, startSpecWeb } from "../helpers/spec-web.ts"

setDefaultTimeout(30_000)

const never = new AbortController().signal
let web: SpecWeb
beforeEach(() => {
  web = startSpecWeb()
})
afterEach(() => web.stop())

const sourceOf = (url: string, patienceMs = 5000) =>
  new HttpSpecSource({ url, egress: testEgress(), clock: systemClock, patienceMs })
const failure = async (source: HttpSpecSource, name = "a") =>
  await source.lookup(name, never).then(
    (spec) => `no failure: ${spec?.baseText}`,
    (error) => error,
  )

describe("specs over HTTP", () => {
  test("are ImageSpecs as JSON, in both spellings", async () => {
    web.answer(() =>
      Response.json({ base_ref: "alpine:3", ideLayerRef: ["x.io/a:1"], layers: [{ files: { "/a": "b" } }] }),
    )
    const spec = await sourceOf(web.url).lookup("a", never)
    expect(spec).toMatchObject({ baseText: "alpine:3", trust: "remote" })
    expect(spec?.layers.map(({ kind }) => kind)).toEqual(["image", "files"])
  })

  test("are asked for by the whole name, as one segment", async () => {
    await sourceOf(web.url).lookup("team/app", never)
    await sourceOf(`${web.url}?again={id}`).lookup("x", never)
    expect(web.seen).toEqual(["/specs/team%2Fapp", "/specs/x"])
  })

  test.each([404, 410])("%i is an unknown name", async (status) => {
    web.answer(() => new Response("", { status }))
    expect(await sourceOf(web.url).lookup("a", never)).toBeNull()
  })

  test.each([204, 400, 401, 403, 429, 500, 503])("%i is a server that cannot tell", async (status) => {
    web.answer(() => new Response(null, { status, headers: { "retry-after": "7" } }))
    const error = await failure(sourceOf(web.url))
    expect(error).toMatchObject({ code: "UNAVAILABLE", status: 503, retryAfterSeconds: 7, detail: null })
    expect(error.message).toContain(`answered ${status}`)
  })

  test("nobody there is unreachable", async () => {
    web.stop()
    expect(await failure(sourceOf(web.url))).toMatchObject({ code: "UNAVAILABLE", detail: "provider_unreachable" })
  })

  test("a server that breaks off its answer is unreachable, so that what is known of the name may be used", async () => {
    const broken = startBroken()
    const error = await failure(sourceOf(`${broken.url}specs/{id}`))
    broken.stop()
    expect(error).toMatchObject({ code: "UNAVAILABLE", detail: "provider_unreachable" })
    expect(error.message).toContain("broke off its answer: ECONNRESET")
  })

  test("an answer that does not come in time, or not to its end, is given up on", async () => {
    const { promise: hang, resolve: release } = Promise.withResolvers<Response>()
    web.answer(async () => await hang)
    const silent = await failure(sourceOf(web.url, 100))
    release(new Response())
    const body = new ReadableStream(
      { pull: (controller) => controller.enqueue(new TextEncoder().encode("{")) },
      { highWaterMark: 0 },
    )
    web.answer(
      () => new Response(body.pipeThrough(new TransformStream({ transform: async () => await Bun.sleep(10) }))),
    )
    const slow = await failure(sourceOf(web.url, 200))

    for (const error of [silent, slow])
      expect(error).toMatchObject({ code: "UNAVAILABLE", detail: "provider_unreachable" })
  })

  test.each([
    ["no JSON", "<html>", "its answer is no JSON"],
    ["no object", "[]", "spec: expected an object"],
    ["a key that is unknown", '{"baseRef":"a","baseref":"b"}', "baseref: unknown key"],
    ["a file of this machine", '{"baseRef":"a","layers":[{"file":"/etc/shadow"}]}', "cannot use files of this machine"],
    ["a directory of this machine", '{"baseRef":"a","layers":[{"dir":"/etc"}]}', "cannot use files of this machine"],
    ["a layout of this machine", '{"baseRef":"oci:/srv/images"}', "cannot use files of this machine"],
    ["a layout as a layer", '{"baseRef":"a","layers":[{"image":"oci:/srv"}]}', "cannot use files of this machine"],
  ])("%s is refused, and the client is told why", async (_name, body, message) => {
    web.answer(() => new Response(body))
    const error = await failure(sourceOf(web.url))
    expect(error).toMatchObject({ code: "MANIFEST_INVALID", status: 400 })
    expect(error.message).toContain(message)
  })

  test("more than 16 MiB are not read", async () => {
    let sent = 0
    const body = new ReadableStream({
      pull: (controller) => {
        sent += 1 << 20
        controller.enqueue(new Uint8Array(1 << 20).fill(32))
      },
    })
    web.answer(() => new Response(body))
    expect((await failure(sourceOf(web.url, 20_000))).message).toContain("it has more than 16777216 bytes")
    expect(sent).toBeLessThan(64 << 20)
  })

  test("secrets in the URL are in no message", async () => {
    web.answer(() => new Response("", { status: 500 }))
    const source = sourceOf(web.url.replace("//", "//me:hunter2@").concat("?token=hunter3"))
    expect(`${source.origin} ${(await failure(source)).message}`).not.toMatch(/hunter/)
  })

  test("a client that leaves ends the question", async () => {
    const aborted = Promise.withResolvers<void>()
    web.answer(async (_name, { signal }) => {
      signal.addEventListener("abort", () => aborted.resolve())
      return await new Promise<Response>(() => {})
    })
    const client = new AbortController()
    const asked = sourceOf(web.url)
      .lookup("a", client.signal)
      .catch((error) => error)
    setTimeout(() => client.abort(new Error("left")), 50)
    expect((await asked).message).toBe("left")
    await aborted.promise
  })
})
