import { expect, setDefaultTimeout, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { content, image, layer, OCI_LAYER, sha256, type TestLayer } from "../helpers/images.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { rawTar } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
const servers = stoppedAfterEach()

interface Lab {
  readonly server: FileServer
  readonly one: UpstreamServer
  readonly other: UpstreamServer
  /** The path of a file of a registry's image. */
  at(upstream: UpstreamServer, file: string): string
}

/** Two registries with images that share a layer. */
async function start(shared: TestLayer): Promise<Lab> {
  const [one, other] = [startUpstream(), startUpstream()]
  for (const [at, upstream] of [one, other].entries())
    upstream.add(`lab/app${at}`, "1", await image({ layers: [shared], settings: { Labels: { at: String(at) } } }))
  const names = new Map([
    [one, "lab/app0"],
    [other, "lab/app1"],
  ])
  const repos = Object.fromEntries([...names].map(([{ host }, name]) => [`${host}/${name}`, { layers: "all" }]))
  const server = await startFiles({ blobserve: { repos, timeout: "8s" } })
  servers.push(one, other, server)
  return { server, one, other, at: (upstream, file) => `/${upstream.host}/${names.get(upstream)}:1/${file}` }
}

const isLayer = ({ method }: Request, { pathname }: URL, { digest }: TestLayer): boolean =>
  method === "GET" && pathname.endsWith(digest)

/** From now on the registry sends the beginning of the layer, and the rest when it is told to. Tells when it is asked. */
function hold(
  upstream: UpstreamServer,
  held: TestLayer,
): { readonly asked: Promise<void>; readonly release: () => void } {
  const [gate, asked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  upstream.roles.push((request, url) => {
    if (!isLayer(request, url, held)) return null
    asked.resolve()
    const body = async function* () {
      yield held.bytes.subarray(0, 100)
      await gate.promise
      yield held.bytes.subarray(100)
    }
    return new Response(body as unknown as ReadableStream, { headers: { "content-type": held.mediaType } })
  })
  servers.push({ stop: gate.resolve })
  return { asked: asked.promise, release: gate.resolve }
}

const gone = '{"errors":[{"code":"BLOB_UNKNOWN","message":"gone"}]}'

function lose(upstream: UpstreamServer, lost: TestLayer): void {
  upstream.roles.push((request, url) => (isLayer(request, url, lost) ? new Response(gone, { status: 404 }) : null))
}

const told = async (answer: Response | Promise<Response>) => {
  const { status } = await answer
  return { status, text: await (await answer).text() }
}

/** Larger than what is fetched before it is opened. */
function large(): TestLayer {
  const big = { name: "big", content: new Uint8Array(9 * MIB) }
  const plain = new Uint8Array(rawTar([{ name: "f", content: "hello" }, big]))
  return { ...content(OCI_LAYER, plain), diffID: sha256(plain) }
}

test("a layer that one registry has lost is had from the other, whose answers name nobody else", async () => {
  const shared = await layer({ f: "hello" })
  const { at, one, other, server } = await start(shared)
  lose(one, shared)

  const failed = await told(server.get(at(one, "f")))
  expect([failed.status, failed.text.includes(one.host)]).toEqual([404, true])
  expect((await told(server.get(at(one, "f")))).text).toBe(failed.text)
  expect(await told(server.get(at(other, "f")))).toEqual({ status: 200, text: "hello" })
  expect(await told(server.get(at(one, "f")))).toEqual({ status: 200, text: "hello" })
})

test("a layer that both have lost is answered to each with what its own registry said", async () => {
  const shared = await layer({ f: "hello" })
  const { at, one, other, server } = await start(shared)
  lose(one, shared)
  lose(other, shared)

  const answers = await Promise.all([one, other].map(async (upstream) => await told(server.get(at(upstream, "f")))))

  expect(answers.map(({ status }) => status)).toEqual([404, 404])
  expect(answers[1]?.text).not.toContain(`${one.host}/`)
})

test("who waits for a layer with another is not told of its failure, but has its own", async () => {
  const shared = large()
  const { at, one, other, server } = await start(shared)
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  one.roles.push(async (request, url) => {
    if (!isLayer(request, url, shared)) return null
    asked.resolve()
    await gate.promise
    return new Response(gone, { status: 404 })
  })
  servers.push({ stop: gate.resolve })

  const first = told(server.get(at(one, "none")))
  await asked.promise
  const second = told(server.get(at(other, "f")))
  await until(() => other.seen.some(({ path }) => path.includes("/manifests/")))
  gate.resolve()

  expect(await second).toEqual({ status: 200, text: "hello" })
  expect((await first).status).toBe(404)
})

test.each([
  ["large", large],
  ["small", async () => await layer({ f: "hello" })],
] as const)("a %s layer that one registry sends slowly is had from the other, for both", async (_, make) => {
  const shared = await make()
  const { at, one, other, server } = await start(shared)
  const { asked } = hold(one, shared)

  const first = told(server.get(at(one, "none")))
  await asked
  const second = await told(server.get(at(other, "f")))

  expect(second).toEqual({ status: 200, text: "hello" })
  expect((await first).status).toBe(404) // the file, not the layer
  expect(await told(server.get(at(one, "f")))).toEqual({ status: 200, text: "hello" })
})

test("a layer that comes well is read once for both", async () => {
  const shared = large()
  const { at, one, other, server } = await start(shared)
  const { asked, release } = hold(one, shared)

  const first = told(server.get(at(one, "f")))
  await asked
  const second = told(server.get(at(other, "f")))
  await until(() => other.seen.some(({ path }) => path.includes("/manifests/")))
  release()

  expect([await first, await second]).toEqual(Array(2).fill({ status: 200, text: "hello" }))
  expect(other.seen.filter(({ path }) => path.endsWith(shared.digest))).toEqual([])
})
