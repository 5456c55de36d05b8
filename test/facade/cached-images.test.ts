import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { CachedImages } from "../../src/facade/cached-images.ts"
import { ImageMemory } from "../../src/facade/image-memory.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { parseRegistryReference } from "../../src/oci/reference.ts"
import type { DocumentStore } from "../../src/store/store.ts"
import { type Content, image, index, platform, type TestImage, type TestIndex } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { anonymousUpstream } from "../helpers/registry-upstream.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"
import { createWorkshop, type TestWorkshop } from "../helpers/workshop.ts"

let server: UpstreamServer
let app: TestImage
let multi: TestIndex
beforeEach(async () => {
  server = startUpstream()
  app = await image()
  multi = index([[app, platform("amd64")]])
  server.add("lab/multi", "1", multi)
  server.add("lab/app", "1", app)
})
afterEach(() => server.stop())

interface ReadOptions {
  readonly documents?: DocumentStore
  readonly url?: URL
}

function read(workshop: TestWorkshop, { documents = workshop.store, url = server.url }: ReadOptions = {}) {
  const { downloads } = workshop
  const upstream = anonymousUpstream(url)
  const reader = new CachedImages({
    upstream,
    policy: () => {},
    documents,
    downloads,
    clock: systemClock,
    log: silentLogger,
    tags: { get: async () => null, set: async () => {} },
    lifetimes: () => ({ tagTtlMs: 60_000, staleIfErrorMs: 0 }),
    staleAfterMs: 3000,
    staleAgainMs: 5000,
    memory: new ImageMemory(),
  })
  const root = async (name: string) =>
    (await reader.root(parseRegistryReference(`${server.host}/lab/${name}:1`), never)).descriptor.digest as string
  const document = async ({ mediaType, digest, size }: Content, name = "app") => {
    const descriptor = { mediaType, digest: parseDigest(digest), size }
    return (await reader.document(parseRegistryReference(`${server.host}/lab/${name}:1`), descriptor, never)).bytes
  }
  return { root, document }
}

/** Knows nothing and takes nothing. */
const forgetful: DocumentStore = { get: async () => null, put: async () => {} }

/** What was there is gone, and cannot be made again. */
async function lostStore(): Promise<TestWorkshop> {
  const workshop = await createWorkshop()
  await workshop.store.maintain()
  rmSync(workshop.store.origin, { recursive: true, force: true })
  return workshop
}

/** Breaks the first transfer off after five bytes, and then does as it is asked to. */
function breakingServer({ bytes, size }: Content) {
  const ranges: (string | null)[] = []
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, request) => {
        const start = /^range: bytes=(\d+)-/im.exec(request.toString())?.[1] ?? null
        ranges.push(start)
        const content = bytes.subarray(Number(start ?? 0))
        const span = `content-range: bytes ${start}-${size - 1}/${size}\r\n`
        const status = start === null ? "200 OK\r\n" : `206 Partial Content\r\n${span}`
        const head = `HTTP/1.1 ${status}content-length: ${content.byteLength}\r\n\r\n`
        socket.write(Buffer.concat([Buffer.from(head), ranges.length === 1 ? content.subarray(0, 5) : content]))
        if (ranges.length === 1) socket.end()
      },
    },
  })
  return { url: new URL(`http://127.0.0.1:${listener.port}`), ranges, stop: () => listener.stop(true) }
}

describe("documents of an upstream, with a store in trouble", () => {
  test("A-28: an index is read where the store keeps nothing", async () => {
    expect(await read(await createWorkshop(), { documents: forgetful }).root("multi")).toBe(multi.index.digest)
  })

  test("A-29: documents are read where the store is gone", async () => {
    const { root, document } = read(await lostStore())

    expect(await root("multi")).toBe(multi.index.digest)
    expect(Buffer.from(await document(app.manifest)).equals(app.manifest.bytes)).toBe(true)
  })

  test("A-30, A-31: a manifest is read where the store keeps nothing", async () => {
    const { root } = read(await createWorkshop(), { documents: forgetful })

    expect(await root("app")).toBe(app.manifest.digest)
  })

  test("what is in the store is not fetched again, also after a restart", async () => {
    const workshop = await createWorkshop()
    const documents = [app.manifest, app.config]
    const first = read(workshop)
    for (const content of documents) await first.document(content)
    for (const { digest, mediaType, size, bytes } of documents)
      await workshop.store.put({ descriptor: { digest: parseDigest(digest), mediaType, size }, bytes })
    const requests = server.seen.length
    const restarted = read(workshop)
    for (const content of documents)
      expect(Buffer.from(await restarted.document(content)).equals(content.bytes)).toBe(true)

    expect(server.seen).toHaveLength(requests)
  })
})

describe("configs of an upstream", () => {
  test("A-33: one that breaks off after five bytes is fetched again", async () => {
    const { url, ranges, stop } = breakingServer(app.config)
    const { document } = read(await createWorkshop(), { documents: forgetful, url })

    expect(Buffer.from(await document(app.config)).equals(app.config.bytes)).toBe(true)
    expect(ranges).toHaveLength(2)
    stop()
  })

  test("one that is larger than clients accept is not fetched", async () => {
    const { document } = read(await createWorkshop())

    await expect(document({ ...app.config, size: 4 * 1024 * 1024 + 1 })).rejects.toThrow(
      "its config is larger than 4194304 bytes",
    )
    expect(server.seen).toEqual([])
  })

  test("a repository that refuses a document is no reason to refuse it from another one", async () => {
    const [asked, refuse] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    server.roles.push(async (_, { pathname }) => {
      if (!pathname.includes("/lab/closed/")) return null
      asked.resolve()
      await refuse.promise
      return new Response(null, { status: 403 })
    })
    const { document } = read(await createWorkshop(), { documents: forgetful })
    const closed = document(app.manifest, "closed")
    closed.catch(() => {})
    await asked.promise
    const open = document(app.manifest)
    open.finally(() => refuse.resolve()).catch(() => {})

    expect(await open).toEqual(app.manifest.bytes)
    await expect(closed).rejects.toThrow("403")
  })

  test("many who ask for one document cause one request", async () => {
    const { document } = read(await createWorkshop(), { documents: forgetful })
    await Promise.all(Array.from({ length: 50 }, () => document(app.manifest)))

    expect(server.seen).toHaveLength(1)
  })
})
