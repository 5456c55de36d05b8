import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { openAt } from "../../src/blob/blob.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { readBytes } from "../../src/lib/stream.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { parseRegistryReference } from "../../src/oci/reference.ts"
import { RetryingUpstream, upstreamWaitMs } from "../../src/upstream/retrying-upstream.ts"
import {
  DOCKER_LIST,
  image,
  index,
  OCI_INDEX,
  OCI_MANIFEST,
  platform,
  sha256,
  type TestImage,
} from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { anonymousUpstream } from "../helpers/registry-upstream.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let server: UpstreamServer
let app: TestImage
beforeEach(async () => {
  server = startUpstream()
  app = await image()
  server.add("lab/app", "1", app)
})
afterEach(() => server.stop())

function connect(baseURL = server.url) {
  const upstream = anonymousUpstream(baseURL)
  const policy = {
    attempts: 4,
    baseMs: 1,
    capMs: 5,
    random: Math.random,
    clock: systemClock,
    waitMs: upstreamWaitMs(10_000),
  }
  return { plain: upstream, retrying: new RetryingUpstream(upstream, policy) }
}
const reference = (text = "lab/app:1") => parseRegistryReference(`${server.host}/${text}`)
const resolve = async (text?: string) => await connect().plain.resolve(reference(text), never)

/** The first answers are these, then the registry's own. */
function script(...answers: readonly (() => Response)[]): void {
  let asked = 0
  server.roles.push(() => answers[asked++]?.() ?? null)
}

/** A server whose first connection ends as said; afterwards it sends the manifest. */
function unreliable(first: (socket: Bun.Socket) => void) {
  let connections = 0
  const { bytes, size } = app.manifest
  const head = `HTTP/1.1 200 OK\r\ncontent-type: ${OCI_MANIFEST}\r\ncontent-length: ${size}\r\n\r\n`
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        connections += 1
        if (connections === 1) return first(socket)
        socket.write(Buffer.concat([Buffer.from(head), bytes]))
      },
    },
  })
  const url = new URL(`http://127.0.0.1:${listener.port}`)
  const digest = parseDigest(app.manifest.digest)
  const get = async () =>
    await connect(url).retrying.manifest(parseRegistryReference(`${url.host}/lab/app@${digest}`), digest, never)
  return { get, head, connections: () => connections, stop: () => listener.stop(true) }
}

describe("RegistryUpstream", () => {
  test("resolves a tag to exact bytes, their type and digest", async () => {
    const found = await resolve()

    expect(found?.descriptor as object).toEqual({
      mediaType: OCI_MANIFEST,
      digest: app.manifest.digest,
      size: app.manifest.size,
    })
    expect(Buffer.from(found?.bytes ?? []).equals(app.manifest.bytes)).toBe(true)
  })

  test("takes every kind of document, and says so", async () => {
    await resolve()

    expect(server.seen[0]?.headers.get("accept")).toBe(
      `${OCI_INDEX}, ${DOCKER_LIST}, ${OCI_MANIFEST}, application/vnd.docker.distribution.manifest.v2+json`,
    )
    expect(server.seen[0]?.headers.get("accept-encoding")).toBe("identity")
  })

  test.each(["oci", "docker"] as const)("A-27: an index in the family %s is returned as it is", async (family) => {
    const multi = index([[app, platform("amd64")]], { family })
    server.add("lab/multi", "1", multi)

    expect((await resolve("lab/multi:1"))?.descriptor).toMatchObject({
      digest: multi.index.digest,
      mediaType: multi.index.mediaType,
    })
  })

  test("what is not there is null", async () => {
    expect(await resolve("lab/app:2")).toBeNull()
    expect(await connect().plain.manifest(reference(), parseDigest(sha256("x")), never)).toBeNull()
  })

  test("a manifest by digest is verified", async () => {
    const digest = parseDigest(app.manifest.digest)
    expect((await connect().plain.manifest(reference(), digest, never))?.descriptor.digest).toBe(digest)
    script(
      () =>
        new Response(`${new TextDecoder().decode(app.manifest.bytes)} `, { headers: { "content-type": OCI_MANIFEST } }),
    )

    await expect(connect().plain.manifest(reference(), digest, never)).rejects.toThrow(
      `${server.host} sent other bytes than ${digest}`,
    )
  })

  test("a digest that the registry announces is held against its bytes", async () => {
    const headers = { "content-type": OCI_MANIFEST, "docker-content-digest": sha256("x") }
    script(() => new Response(app.manifest.bytes, { headers }))

    await expect(resolve()).rejects.toThrow(`sent other bytes than ${sha256("x")}`)
  })

  test.each([
    [
      "a web page",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
      "it is a web page; is the host a registry?",
    ],
    ["no JSON", () => new Response("oops"), "sent something that is no manifest"],
    [
      "another type than announced",
      () => new Response(app.manifest.bytes, { headers: { "content-type": OCI_INDEX } }),
      "it was announced as",
    ],
    [
      "an image and an index at once",
      () => Response.json({ layers: [], manifests: [] }),
      "it is an image and an index at once",
    ],
    ["more than 4 MiB", () => new Response("x".repeat(4 * 1024 * 1024 + 1)), "it is larger than 4194304 bytes"],
    ["nothing", () => new Response(""), "sent something that is no manifest"],
  ] as [string, () => Response, string][])("refuses %s", async (_, answer, reason) => {
    script(answer)

    await expect(resolve()).rejects.toThrow(reason)
  })

  test.each([
    [401, "DENIED"],
    [403, "DENIED"],
    [400, "UNKNOWN"],
    [418, "UNKNOWN"],
  ])("A-14: status %d is final", async (status, code) => {
    script(...Array(5).fill(() => new Response(null, { status, headers: { "www-authenticate": "" } })))
    const failure = await connect()
      .retrying.resolve(reference(), never)
      .catch((error) => error)

    expect(failure.code).toBe(code)
    expect(server.seen).toHaveLength(1)
  })

  test("A-14: a reference that names nothing never reaches the network", () => {
    for (const text of ["", ":", "lab/app:", "lab/app@", "@sha256:abc"])
      expect(() => reference(text)).toThrow(TypeError)
    expect(server.seen).toEqual([])
  })
})

describe("RetryingUpstream", () => {
  test("A-34: a document whose request fails twice is fetched three times", async () => {
    const failing = () => new Response(null, { status: 503, headers: { "retry-after": "0" } })
    script(failing, failing)

    expect((await connect().retrying.resolve(reference(), never))?.descriptor.digest as string).toBe(
      app.manifest.digest,
    )
    expect(server.seen).toHaveLength(3)
  })

  test("A-32: a body that breaks off after five bytes is fetched again, at once", async () => {
    const { get, head, connections, stop } = unreliable((socket) => {
      socket.write(Buffer.concat([Buffer.from(head), app.manifest.bytes.subarray(0, 5)]))
      socket.end()
    })
    const start = performance.now()

    expect(Buffer.from((await get())?.bytes ?? []).equals(app.manifest.bytes)).toBe(true)
    expect(connections()).toBe(2)
    expect(performance.now() - start).toBeLessThan(1900)
    stop()
  })

  test("A-13: a connection that is reset is made again, at once", async () => {
    const { get, connections, stop } = unreliable((socket) => void socket.terminate())
    const start = performance.now()

    expect(sha256((await get())?.bytes ?? "")).toBe(app.manifest.digest)
    expect(connections()).toBe(2)
    expect(performance.now() - start).toBeLessThan(1900)
    stop()
  })

  test("waits as long as it is asked to, but not for ever", async () => {
    const limited = (seconds: string) => () => new Response(null, { status: 429, headers: { "retry-after": seconds } })
    script(limited("0"), limited("3600"))
    const failure = await connect()
      .retrying.resolve(reference(), never)
      .catch((error) => error)

    expect(failure).toMatchObject({ code: "TOOMANYREQUESTS", retryAfterSeconds: 3600 })
    expect(server.seen).toHaveLength(2)
  })

  test("asks again where something else was sent, such as a proxy's excuse", async () => {
    script(() => new Response("<html>", { headers: { "content-type": "text/html" } }))

    expect((await connect().retrying.resolve(reference(), never))?.descriptor.digest as string).toBe(
      app.manifest.digest,
    )
  })

  test("gives up after four times", async () => {
    script(...Array(9).fill(() => new Response(null, { status: 500, headers: { "retry-after": "0" } })))

    await expect(connect().retrying.resolve(reference(), never)).rejects.toThrow("answered 500")
    expect(server.seen).toHaveLength(4)
  })

  test("stops when it is aborted", async () => {
    const abort = new AbortController()
    server.roles.push(() => {
      abort.abort(new Error("enough"))
      return new Response(null, { status: 500 })
    })

    await expect(connect().retrying.resolve(reference(), abort.signal)).rejects.toThrow("enough")
    expect(server.seen).toHaveLength(1)
  })
})

describe("blobs of a registry", () => {
  test("are read from any offset, and not before", async () => {
    const [layer] = app.layers
    if (layer === undefined) throw new Error("none")
    const [source] = connect().plain.blobs(reference())
    const descriptor = { ...layer, digest: parseDigest(layer.digest) }
    const blob = await source?.find(descriptor, never)
    expect(server.seen).toEqual([])
    const read = async (offset: number) =>
      blob === null || blob === undefined ? null : await readBytes(await openAt(blob, offset, never), layer.size)

    for (const offset of [0, 1, layer.size - 1])
      expect(Buffer.from((await read(offset)) ?? []).equals(layer.bytes.subarray(offset))).toBe(true)
    expect(server.seen.map(({ headers }) => headers.get("range"))).toEqual([
      null,
      "bytes=1-",
      `bytes=${layer.size - 1}-`,
    ])
    expect(source).toMatchObject({ name: "upstream", origin: `${server.host}/lab/app` })
  })

  test("that are not there are told by repository and host", async () => {
    const descriptor = { mediaType: "x/y", digest: parseDigest(sha256("x")), size: 5 }
    const [source] = connect().plain.blobs(reference())
    const blob = await source?.find(descriptor, never)
    const failure =
      blob?.kind === "stream" ? await blob.open({ start: 0, end: 5 }, never).catch((error) => error) : null

    expect(failure.code).toBe("BLOB_UNKNOWN")
    expect(failure.message).toBe(
      `Cannot get blob ${server.host}/lab/app@${descriptor.digest}: ${server.host} does not have it`,
    )
  })
})
