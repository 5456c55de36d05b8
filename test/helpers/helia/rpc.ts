import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { unixfs } from "@helia/unixfs"
import { multiaddr } from "@multiformats/multiaddr"
import { fixedSize } from "ipfs-unixfs-importer/chunker"
import { balanced } from "ipfs-unixfs-importer/layout"
import { CID } from "multiformats/cid"
import type { HeliaNode } from "./node.ts"

type Answer = Record<string, unknown> | readonly Record<string, unknown>[]
type Command = (query: URLSearchParams, request: Request) => Answer | Promise<Answer>

/** What our code and our tests use of Kubo's RPC API, by its path below /api/v0/. */
export function heliaRpc(helia: HeliaNode, dir: string): (request: Request) => Promise<Response> {
  const commands: Readonly<Record<string, Command>> = {
    id: () => ({ ID: String(helia.libp2p.peerId), Addresses: helia.libp2p.getMultiaddrs().map(String) }),
    version: () => ({ Version: `helia/${helia.info.version}` }),
    add: async (query, request) => await add(helia, query, request),
    "pin/add": async (query) => await pin(helia, argument(query), query.get("name") ?? ""),
    "pin/ls": async (query) => await listPins(helia, query),
    "pin/rm": async (query) => await unpin(helia, argument(query)),
    "repo/gc": async () => {
      await helia.gc()
      return []
    },
    "repo/stat": () => ({ RepoSize: bytesIn(join(dir, "blocks")), StorageMax: 10_000_000_000, NumObjects: 0 }),
    "config/show": () => readConfig(dir),
    config: (query) => setConfig(dir, query),
    "swarm/connect": async (query) => {
      await helia.libp2p.dial(multiaddr(query.get("arg") ?? ""))
      return { Strings: [] }
    },
  }
  return async (request) => {
    const { pathname, searchParams } = new URL(request.url)
    const command = commands[pathname.replace("/api/v0/", "")]
    if (command === undefined) return new Response("404 page not found", { status: 404 })
    try {
      const answer = await command(searchParams, request)
      const lines = (Array.isArray(answer) ? answer : [answer]).map((line) => JSON.stringify(line))
      return new Response(lines.join("\n"), { headers: { "content-type": "application/json" } })
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      return Response.json({ Message: message, Code: 0, Type: "error" }, { status: 500 })
    }
  }
}

const argument = (query: URLSearchParams): CID => CID.parse((query.get("arg") ?? "").replace("/ipfs/", ""))

/** With Kubo's defaults where nothing is said. */
async function add(helia: HeliaNode, query: URLSearchParams, request: Request): Promise<Answer> {
  const file = (await request.formData()).get("file")
  if (!(file instanceof Blob)) throw new Error("file argument 'path' is required")
  const cid = await unixfs(helia).addByteStream(file.stream() as unknown as AsyncIterable<Uint8Array>, {
    cidVersion: query.get("cid-version") === "1" ? 1 : 0,
    rawLeaves: query.get("raw-leaves") === "true",
    chunker: fixedSize({ chunkSize: Number((query.get("chunker") ?? "size-262144").replace("size-", "")) }),
    layout: balanced({ maxChildrenPerNode: Number(query.get("max-file-links") ?? 174) }),
  })
  if (query.get("pin") !== "false") await pin(helia, cid, query.get("pin-name") ?? "")
  return { Name: "blob", Hash: String(cid), Size: String(file.size) }
}

async function pin(helia: HeliaNode, cid: CID, name: string): Promise<Answer> {
  if (await isRoot(helia, cid)) await helia.pins.setMetadata(cid, { name })
  else for await (const _ of helia.pins.add(cid, { metadata: { name } }));
  return { Pins: [String(cid)] }
}

async function unpin(helia: HeliaNode, cid: CID): Promise<Answer> {
  if (!(await isRoot(helia, cid))) throw new Error("not pinned or pinned indirectly")
  for await (const _ of helia.pins.rm(cid));
  return { Pins: [String(cid)] }
}

const isRoot = async (helia: HeliaNode, cid: CID): Promise<boolean> =>
  await helia.pins.get(cid).then(
    () => true,
    () => false,
  )

async function listPins(helia: HeliaNode, query: URLSearchParams): Promise<Answer> {
  const wanted = query.has("arg") ? String(argument(query).toV1()) : null
  const part = query.get("name") ?? ""
  const lines: Record<string, unknown>[] = []
  for await (const { cid, metadata } of helia.pins.ls()) {
    const name = String(metadata["name"] ?? "")
    const isListed = wanted === null ? name.includes(part) : wanted === String(cid.toV1())
    if (isListed) lines.push({ Cid: String(cid), Name: name, Type: "recursive" })
  }
  if (wanted !== null && lines.length === 0) throw new Error(`path '${query.get("arg")}' is not pinned`)
  return lines
}

function bytesIn(dir: string): number {
  const names = readdirSync(dir, { recursive: true, withFileTypes: true })
  const files = names.filter((entry) => entry.isFile()).map(({ name, parentPath }) => join(parentPath, name))
  return files.reduce((sum, path) => sum + (statSync(path, { throwIfNoEntry: false })?.size ?? 0), 0)
}

type Config = Record<string, unknown>

function readConfig(dir: string): Config {
  const path = join(dir, "config.json")
  if (!existsSync(path)) return { Bootstrap: [], Routing: { Type: "none" } }
  return JSON.parse(readFileSync(path, "utf8"))
}

/** `arg=Routing.Type&arg=auto`, with JSON where `json=true`. */
function setConfig(dir: string, query: URLSearchParams): Answer {
  const [key = "", value = ""] = query.getAll("arg")
  const [first = "", second] = key.split(".")
  const parsed = query.get("json") === "true" ? JSON.parse(value) : value
  const config = readConfig(dir)
  const section = config[first] as Config
  writeFileSync(
    join(dir, "config.json"),
    JSON.stringify({ ...config, [first]: second === undefined ? parsed : { ...section, [second]: parsed } }),
  )
  return { Key: key, Value: parsed }
}
