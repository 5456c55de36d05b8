import type { IncomingMessage, ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { unixfs } from "@helia/unixfs"
import { CID } from "multiformats/cid"
import type { HeliaNode } from "./node.ts"
import { patientBlocks } from "./patient-blocks.ts"

/** As Kubo's `Gateway.RetrievalTimeout`. */
const RETRIEVAL_MS = 30_000
/** In blocks: the first comes soon when few others are on their way beside it. */
const READ_AHEAD = 4

/** What our code uses of a gateway: `GET` and `HEAD /ipfs/CID`, with Range, and `only-if-cached` for what is here. */
export function heliaGateway(helia: HeliaNode) {
  const files = unixfs({ blockstore: patientBlocks(helia.blockstore) })

  async function isHere(cid: CID): Promise<boolean> {
    return await helia.blockstore.has(cid)
  }

  async function send(cid: CID, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const left = new AbortController()
    response.on("close", () => left.abort())
    const signal = AbortSignal.any([left.signal, AbortSignal.timeout(RETRIEVAL_MS)])
    const size = Number((await files.stat(cid, { signal })).size)
    const { status, start, end } = rangeOf(request.headers.range, size)
    response.writeHead(status, {
      "content-type": "application/octet-stream",
      "content-length": end - start,
      "accept-ranges": "bytes",
      etag: `"${cid}"`,
      ...(status === 206 ? { "content-range": `bytes ${start}-${end - 1}/${size}` } : {}),
    })
    if (request.method === "HEAD" || start === end) return void response.end()
    // A failure in the middle cuts the connection, so that the answer is shorter than its length
    const reading = { offset: start, length: end - start, signal, blockReadConcurrency: READ_AHEAD }
    await pipeline(Readable.from(files.cat(cid, reading)), response)
  }

  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const cid = cidOf(request.url ?? "")
    if (cid === null) return void response.writeHead(400).end("invalid CID")
    const { host = "" } = request.headers
    if (host.startsWith("localhost"))
      return void response.writeHead(301, { location: `http://${cid}.ipfs.${host}/` }).end()
    if (request.headers["cache-control"] === "only-if-cached" && !(await isHere(cid)))
      return void response.writeHead(412).end()
    try {
      await send(cid, request, response)
    } catch (error) {
      if (response.headersSent) response.destroy()
      else response.writeHead(504).end(String(error))
    }
  }
}

function cidOf(path: string): CID | null {
  try {
    return CID.parse(/^\/ipfs\/([A-Za-z0-9]+)(?:\?|$)/.exec(path)?.[1] ?? "")
  } catch {
    return null
  }
}

function rangeOf(header: string | undefined, size: number) {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(header ?? "") ?? []
  if (first === undefined || Number(first) >= size) return { status: 200, start: 0, end: size }
  return { status: 206, start: Number(first), end: last ? Math.min(Number(last) + 1, size) : size }
}
