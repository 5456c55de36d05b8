import { parseCid } from "../../src/ipfs/cid.ts"
import { PROFILES, type Profile, UnixfsHasher } from "../../src/ipfs/unixfs.ts"

/** Answers a request in place of the node; null leaves it to the node. */
export type KuboRole = (request: Request, url: URL) => Response | null | Promise<Response | null>

export interface KuboServer {
  readonly url: string
  /** The configuration's `ipfs`. */
  readonly config: Readonly<Record<string, unknown>>
  readonly seen: { readonly method: string; readonly path: string; readonly headers: Headers }[]
  /** By CID. */
  readonly contents: Map<string, Uint8Array<ArrayBuffer>>
  /** Names by CID. */
  readonly pins: Map<string, string>
  /** Asked first, newest first; for everything that a good node would not do. */
  readonly roles: KuboRole[]
  put(bytes: Uint8Array<ArrayBuffer>): string
  asked(part: string): number
  stop(): void
}

const profile = PROFILES["unixfs-v1-2025"] as Profile

export function cidOf(bytes: Uint8Array): string {
  const hasher = new UnixfsHasher(profile)
  hasher.update(bytes)
  return hasher.cid()
}

/** What we use of a Kubo node, RPC API and gateway on one port. Roles make it misbehave, which the real one cannot be made to. */
export function startKuboServer(): KuboServer {
  const contents: KuboServer["contents"] = new Map()
  const pins: KuboServer["pins"] = new Map()
  const seen: KuboServer["seen"] = []
  const roles: KuboRole[] = []
  const put = (bytes: Uint8Array<ArrayBuffer>): string => {
    const cid = cidOf(bytes)
    contents.set(cid, bytes)
    return cid
  }
  const add = async (request: Request, url: URL): Promise<Response> => {
    const file = (await request.formData()).get("file")
    if (!(file instanceof Blob)) return rpcError("no file")
    const cid = put(new Uint8Array(await file.arrayBuffer()))
    pins.set(cid, url.searchParams.get("pin-name") ?? "")
    return Response.json({ Name: "blob", Hash: cid, Size: String(file.size) })
  }
  const rpc = async (request: Request, url: URL): Promise<Response> => {
    const cid = parseCid(url.searchParams.get("arg") ?? "") ?? ""
    switch (url.pathname) {
      case "/api/v0/add":
        return await add(request, url)
      case "/api/v0/pin/ls": {
        if (cid !== "" && !pins.has(cid)) return rpcError(`path '${cid}' is not pinned`)
        const listed = [...pins].filter(([one]) => cid === "" || one === cid)
        const lines = listed.map(([Cid, Name]) => JSON.stringify({ Cid, Name, Type: "recursive" }))
        return new Response(lines.join("\n"))
      }
      case "/api/v0/pin/rm":
        return pins.delete(cid) ? Response.json({ Pins: [cid] }) : rpcError("not pinned or pinned indirectly")
      case "/api/v0/config/show":
        return Response.json({ Bootstrap: [], Routing: { Type: "none" } })
      case "/api/v0/repo/stat": {
        const RepoSize = [...contents.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
        return Response.json({
          RepoSize,
          StorageMax: 10_000_000_000,
          NumObjects: contents.size,
          RepoPath: "",
          Version: "",
        })
      }
      case "/api/v0/repo/gc":
        for (const one of [...contents.keys()].filter((key) => !pins.has(key))) contents.delete(one)
        return new Response("")
      default:
        return new Response("404 page not found", { status: 404 })
    }
  }
  const gateway = (request: Request, url: URL): Response => {
    const bytes = contents.get(/^\/ipfs\/([a-z0-9]+)$/.exec(url.pathname)?.[1] ?? "")
    if (bytes === undefined) return new Response(null, { status: request.method === "HEAD" ? 412 : 504 })
    if (request.method === "HEAD") return new Response(null, { headers: { "content-length": `${bytes.byteLength}` } })
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.get("range") ?? "")?.[1] ?? 0)
    if (start === 0) return new Response(bytes)
    const range = `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}`
    return new Response(bytes.slice(start), { status: 206, headers: { "content-range": range } })
  }
  const serve = async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    seen.push({ method: request.method, path: url.pathname, headers: request.headers })
    for (const role of [...roles].reverse()) {
      const answer = await role(request, url)
      if (answer !== null) return answer
    }
    return url.pathname.startsWith("/api/") ? await rpc(request, url) : gateway(request, url)
  }
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 0, fetch: serve, maxRequestBodySize: 1e9 })
  const url = `http://127.0.0.1:${server.port}`
  return {
    url,
    config: { enabled: true, ipfsAddr: url, gatewayAddr: url },
    seen,
    contents,
    pins,
    roles,
    put,
    asked: (part) => seen.filter(({ path }) => path.includes(part)).length,
    stop: () => void server.stop(true),
  }
}

export const rpcError = (Message: string): Response =>
  Response.json({ Message, Code: 0, Type: "error" }, { status: 500 })
