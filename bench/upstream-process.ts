import { open, stat } from "node:fs/promises"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { join } from "node:path"
import { OCI_MANIFEST } from "../test/helpers/images.ts"

/**
 * A registry as a program of its own, so that its work is not counted as anybody else's. Arguments: port, directory,
 * bytes per second of each connection and milliseconds before each answer; 0 is no limit. Without a limit the kernel sends,
 * so that it takes as little of this machine as a registry elsewhere does. With one it is node:http, because Bun.serve gives no
 * Content-Length to what is streamed.
 */
const [port = "0", dir = ".", rate = "0", delay = "0"] = process.argv.slice(2)
const bytesPerSecond = Number(rate)
const CHUNK_BYTES = 256 * 1024
const counts = { gets: 0, bytes: 0 }

if (bytesPerSecond === 0) serveFiles()
else {
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy())
  })
  server.listen(Number(port), "127.0.0.1")
}

function serveFiles(): void {
  Bun.serve({
    port: Number(port),
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: async ({ method, url }) => {
      const { pathname } = new URL(url)
      if (isAboutItself(pathname)) return Response.json(counts)
      const found = await find(pathname)
      if (found === null) return new Response("{}", { status: 404 })
      if (found.isBlob && method === "GET") {
        counts.gets += 1
        counts.bytes += found.size
      }
      return new Response(Bun.file(found.path), { headers: { "content-type": typeOf(found) } })
    },
  })
}

const isAboutItself = (path: string): boolean => path === "/counts" || path === "/v2/"

interface Found {
  readonly path: string
  readonly size: number
  readonly isBlob: boolean
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = request.url ?? "/"
  if (isAboutItself(url)) return void response.end(JSON.stringify(counts))
  if (Number(delay) > 0) await Bun.sleep(Number(delay))
  const found = await find(url)
  if (found === null) return void response.writeHead(404).end("{}")
  const first = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0)
  response.writeHead(first === 0 ? 200 : 206, {
    "content-type": typeOf(found),
    "content-length": found.size - first,
    ...(first === 0 ? {} : { "content-range": `bytes ${first}-${found.size - 1}/${found.size}` }),
  })
  if (request.method === "HEAD") return void response.end()
  await send(response, found, first)
}

const typeOf = ({ isBlob }: Found): string => (isBlob ? "application/octet-stream" : OCI_MANIFEST)

async function find(url: string): Promise<Found | null> {
  const [, kind, reference = ""] = /\/(manifests|blobs)\/([\w:]+)$/.exec(url) ?? []
  if (kind === undefined) return null
  const isBlob = kind === "blobs"
  const path = join(dir, kind, isBlob ? reference.replace("sha256:", "") : reference)
  const found = await stat(path).catch(() => null)
  return found === null ? null : { path, size: found.size, isBlob }
}

async function send(response: ServerResponse, { path, isBlob }: Found, first: number): Promise<void> {
  if (isBlob) counts.gets += 1
  const client = { isGone: false }
  response.once("close", () => {
    client.isGone = true // told once, and nothing is taken after it
  })
  const file = await open(path)
  const startedAt = performance.now()
  try {
    for (let offset = first; !client.isGone; ) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES, offset)
      if (bytesRead === 0 || client.isGone) break
      offset += bytesRead
      if (isBlob) counts.bytes += bytesRead
      if (!response.write(buffer.subarray(0, bytesRead))) await takenOrGone(response)
      await paced(offset - first, startedAt)
    }
    response.end()
  } finally {
    await file.close()
  }
}

/** Waits as long as a line of this speed needs. */
async function paced(bytes: number, startedAt: number): Promise<void> {
  if (bytesPerSecond === 0) return
  const early = (bytes / bytesPerSecond) * 1000 - (performance.now() - startedAt)
  if (early > 1) await Bun.sleep(early)
}

async function takenOrGone(response: ServerResponse): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  response.once("drain", resolve)
  response.once("close", resolve)
  await promise
  response.off("drain", resolve)
  response.off("close", resolve)
}
