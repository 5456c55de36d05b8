import { expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { content, image, layer, OCI_LAYER, sha256, type TestLayer } from "../helpers/images.ts"
import { writeLayout } from "../helpers/oci-layout.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { rawTar } from "../helpers/tar-entries.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const SOME_BYTES = 100_000
const servers = stoppedAfterEach()

interface SilentRegistry extends UpstreamServer {
  /** Layers that it has sent something of. */
  readonly begun: ReadonlySet<string>
}

/** A registry that sends the beginning of a layer, and then nothing until it is stopped. */
function startSilent(): SilentRegistry {
  const upstream = startUpstream()
  const gate = Promise.withResolvers<void>()
  const blobs = new Map<string, TestLayer>()
  const begun = new Set<string>()
  upstream.roles.push(({ method }, { pathname }) => {
    const held = method === "GET" ? blobs.get(pathname.split("/").at(-1) ?? "") : undefined
    if (held === undefined) return null
    begun.add(held.digest)
    const body = async function* () {
      yield held.bytes.subarray(0, Math.min(SOME_BYTES, held.size - 1))
      await gate.promise
    }
    return new Response(body as unknown as ReadableStream, { headers: { "content-type": held.mediaType } })
  })
  const stop = () => {
    gate.resolve()
    upstream.stop()
  }
  const add: UpstreamServer["add"] = (repository, tag, made) => {
    upstream.add(repository, tag, made)
    if ("blobs" in made) for (const blob of made.blobs) if ("diffID" in blob) blobs.set(blob.digest, blob as TestLayer)
  }
  servers.push({ stop })
  return { ...upstream, add, stop, begun }
}

/** Larger than what is fetched before it is opened. */
function large(seed: number): TestLayer {
  const first = { name: `first-${seed}`, content: "first" }
  const plain = new Uint8Array(rawTar([first, { name: "f", content: new Uint8Array(9 * MIB) }]))
  return { ...content(OCI_LAYER, plain), diffID: sha256(plain) }
}
const small = async (seed: number): Promise<TestLayer> => await layer({ [`f-${seed}`]: `${seed}` })

/** Serves the images of the registries, and a small one of a layout. */
async function startServer(...upstreams: readonly UpstreamServer[]): Promise<FileServer> {
  const dir = tempDir()
  writeLayout(join(dir, "app"), "1", await image({ layers: [await layer({ f: "hello" })] }))
  const names = ["oci:app", ...upstreams.map(({ host }) => `${host}/lab/app`)]
  const repos = Object.fromEntries(names.map((name) => [name, { layers: "all" }]))
  const server = await startFiles({ dir, blobserve: { repos, timeout: "8s" } })
  servers.push(server)
  return server
}

/** Asks for a file of each image, and does not wait for the answers. */
async function begin(server: FileServer, upstream: UpstreamServer, layers: readonly TestLayer[]): Promise<void> {
  for (const [at, one] of layers.entries()) {
    upstream.add("lab/app", String(at), await image({ layers: [one] }))
    void server.get(`/${upstream.host}/lab/app:${at}/none`).catch(() => {})
  }
}

const COUNT = { few: 2, many: 12 }

test.each([
  ["two large", COUNT.few, large],
  ["two small", COUNT.few, small],
  ["many large", COUNT.many, large],
  ["many small", COUNT.many, small],
] as const)("%s layers that a registry does not finish hold up no other image", async (_, count, make) => {
  const upstream = startSilent()
  const server = await startServer(upstream)
  await begin(server, upstream, await Promise.all(Array.from({ length: count }, (_none, at) => make(at))))
  await until(() => upstream.begun.size >= 2)

  const answer = await server.get("/oci:app:1/f")

  expect([answer.status, await answer.text()]).toEqual([200, "hello"])
  expect(upstream.begun.size).toBeLessThanOrEqual(4)
})

test("layers that many registries do not finish hold up no other image", async () => {
  const upstreams = Array.from({ length: 12 }, () => startSilent())
  const server = await startServer(...upstreams)
  for (const [at, upstream] of upstreams.entries()) await begin(server, upstream, [await small(at)])
  await until(() => upstreams.filter(({ begun }) => begun.size > 0).length >= 10)

  const answer = await server.get("/oci:app:1/f")

  expect([answer.status, await answer.text()]).toEqual([200, "hello"])
})
