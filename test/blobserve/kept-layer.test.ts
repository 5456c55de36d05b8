import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { content, image, OCI_LAYER, sha256, type TestLayer } from "../helpers/images.ts"
import { rawLayer, rawTar } from "../helpers/tar-entries.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const opened: { stop(): unknown }[] = []
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.stop()
})

/** Compresses to a third, so that there are several frames, and blocks of deflate of all kinds of lengths. */
const TEXT = Array.from({ length: 400_000 }, (_, at) => `line ${(at * 7919) % 100_003} of a file\n`).join("")
const FILES = [
  { name: "small", content: "small" },
  { name: "text", content: TEXT },
  { name: "last", content: TEXT.slice(-300_000) },
]

/** As tools make layers that want to find each file again: a member of gzip for each part. */
function layerOfMembers(): TestLayer {
  const plain = rawTar(FILES)
  const members: Uint8Array[] = []
  for (let at = 0; at < plain.byteLength; at += 20_000) members.push(gzipSync(plain.subarray(at, at + 20_000)))
  return { ...content(`${OCI_LAYER}+gzip`, new Uint8Array(Buffer.concat(members))), diffID: sha256(plain) }
}

interface Lab {
  readonly upstream: UpstreamServer
  readonly layer: TestLayer
  start(config?: Readonly<Record<string, unknown>>): Promise<FileServer>
  at(path: string): string
  fetched(): number
}

async function openLab(layer: TestLayer, blobserve: Readonly<Record<string, unknown>> = {}): Promise<Lab> {
  const upstream = startUpstream()
  opened.push(upstream)
  upstream.add("lab/app", "1", await image({ layers: [layer] }))
  const dir = tempDir()
  const repos = { [`${upstream.host}/lab/app`]: { layers: "all" } }
  const start = async (config = {}) => {
    const server = await startFiles({ dir, config, blobserve: { repos, ...blobserve } })
    opened.push(server)
    return server
  }
  const fetched = () =>
    upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(layer.digest)).length
  return { upstream, layer, start, at: (path) => `/${upstream.host}/lab/app:1/${path}`, fetched }
}

async function expectAll(server: FileServer, { at }: Lab): Promise<void> {
  for (const { name, content } of FILES) {
    const response = await server.get(at(name))
    expect([name, response.status, (await response.text()) === content]).toEqual([name, 200, true])
  }
}

/** Until it would be found by another process. */
async function untilKept(server: FileServer, { at }: Lab): Promise<void> {
  await until(async () => (await server.get(at("small"))).headers.get("cache-control") !== "no-store")
  await until(() => existsSync(join(server.dir, "space/v1/facts/scanned")))
}

const blobsIn = (store: string): readonly string[] =>
  readdirSync(join(store, "v1/blobs"), { recursive: true, encoding: "utf8" })
    .map((name) => join(store, "v1/blobs", name))
    .filter((path) => statSync(path).isFile())

const bytesOf = (paths: readonly string[]): number => paths.reduce((sum, path) => sum + statSync(path).size, 0)
const isLayer = (path: string, { layer }: Lab): boolean => path.endsWith(layer.digest.slice("sha256:".length))

describe.each([
  ["in one piece", () => rawLayer(FILES)],
  ["of many members of gzip", layerOfMembers],
])("a layer %s", (_, make) => {
  test("is kept as it was sent, with little besides", async () => {
    const lab = await openLab(make())
    const server = await lab.start()
    await untilKept(server, lab)

    const kept = blobsIn(join(server.dir, "space"))
    expect(kept.filter((path) => isLayer(path, lab)).map((path) => sha256(readFileSync(path)))).toEqual([
      lab.layer.digest,
    ])
    expect(bytesOf(kept)).toBeLessThan(lab.layer.size * 1.35)
    await expectAll(server, lab)
  })

  test("is read again when any of what was kept of it is gone", async () => {
    const lab = await openLab(make())
    const server = await lab.start()
    await untilKept(server, lab)
    const kept = blobsIn(join(server.dir, "space"))
    expect(kept.length).toBeGreaterThanOrEqual(3)
    await server.stop()

    for (const path of kept) {
      rmSync(path)
      const next = await lab.start()
      await expectAll(next, lab)
      await untilKept(next, lab)
      await next.stop()
      expect(existsSync(path)).toBe(true)
    }
  })

  test("is read again when it is gone while it is served", async () => {
    const lab = await openLab(make())
    const server = await lab.start()
    await untilKept(server, lab)
    for (const path of blobsIn(join(server.dir, "space")).filter((path) => isLayer(path, lab))) rmSync(path)

    await expectAll(server, lab)
    expect(lab.fetched()).toBe(2)
  })

  test("is never served wrong when any of what was kept of it was changed", async () => {
    const lab = await openLab(make())
    const server = await lab.start()
    await untilKept(server, lab)
    await server.stop()
    const kept = blobsIn(join(server.dir, "space"))

    for (const path of kept) {
      const bytes = readFileSync(path)
      chmodSync(path, 0o600)
      writeFileSync(
        path,
        bytes.map((byte, at) => (at % 1000 === 999 || at === bytes.length - 20 ? byte ^ 1 : byte)),
      )
      const next = await lab.start()
      await expectAll(next, lab)
      await untilKept(next, lab)
      await next.stop()
    }
  })
})

test("a layer that a registry beside has pulled is fetched once, and kept once", async () => {
  const lab = await openLab(rawLayer(FILES), { blobSpace: {} })
  const dir = tempDir()
  writeFileSync(join(dir, "specs.json"), JSON.stringify({ app: { baseRef: `${lab.upstream.host}/lab/app:1` } }))
  const registry = { port: 0, host: "127.0.0.1", store: "store", fixedSpecFN: join(dir, "specs.json") }
  const server = await lab.start({ registry })
  await (await fetch(`${server.registry}/v2/fixed/app/manifests/latest`)).text()
  const pulled = await fetch(`${server.registry}/v2/fixed/app/blobs/${lab.layer.digest}`)
  expect(sha256(await pulled.bytes())).toBe(lab.layer.digest)
  const before = blobsIn(join(server.dir, "store"))

  await expectAll(server, lab)
  await until(() => existsSync(join(server.dir, "store/v1/facts/scanned")))
  const contents = new Set(FILES.map(({ content }) => sha256(content).slice("sha256:".length)))
  const added = blobsIn(join(server.dir, "store")).filter(
    (path) => !before.includes(path) && !contents.has(path.split("/").at(-1) ?? ""),
  )
  expect(bytesOf(added)).toBeLessThan(lab.layer.size * 0.35)
  expect(lab.fetched()).toBe(1)
})
