import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { blobPath, type FaultyFacade, startFaultyFacade, storedDigests } from "../helpers/faulty-facade.ts"
import { image, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
/** The runtime's own patience with such a client would end after 41 s. */
const SLOW_MS = 44_000
const STEP_MS = 200
/** So many bytes per step are 100 KB/s, which is a modem's or a busy node's. */
const STEP_BYTES = 20_000

/** Reads slowly for a while, then the rest; gives everything that came after the head. */
async function readSlowly(host: string, path: string): Promise<Buffer> {
  const [hostname = "", port = ""] = host.split(":")
  const chunks: Buffer[] = []
  let [received, allowed] = [0, STEP_BYTES]
  const closed = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: (one) => void one.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`),
      data: (one, chunk) => {
        chunks.push(Buffer.from(chunk))
        received += chunk.byteLength
        if (received >= allowed) one.pause()
      },
      close: () => closed.resolve(),
      error: () => closed.resolve(),
    },
  })
  const startedAt = performance.now()
  while (performance.now() - startedAt < SLOW_MS) {
    await Bun.sleep(STEP_MS)
    allowed += STEP_BYTES
    if (received < allowed) socket.resume()
  }
  allowed = Number.POSITIVE_INFINITY
  socket.resume()
  await closed.promise
  const all = Buffer.concat(chunks)
  return all.subarray(all.indexOf("\r\n\r\n") + 4)
}

/** Without the framing of chunks, if there is one. */
function unframed(body: Buffer, size: number): Buffer {
  if (body.byteLength === size) return body
  const parts: Buffer[] = []
  for (let offset = 0; offset < body.byteLength; ) {
    const line = body.indexOf("\r\n", offset)
    const length = Number.parseInt(body.toString("latin1", offset, line), 16)
    if (length === 0) break
    parts.push(body.subarray(line + 2, line + 2 + length))
    offset = line + 2 + length + 2
  }
  return Buffer.concat(parts)
}

describe("clients that read slowly", () => {
  const [warm, cold, medium] = [opaqueLayer(40 * MIB, 1), opaqueLayer(40 * MIB, 2), opaqueLayer(7 * MIB, 3)]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({ images: { a: await image({ layers: [warm, cold, medium] }) } })
    await server.facade.get("/v2/fixed/a/manifests/latest")
    for (const blob of [warm, medium]) await server.pull(blob)
    await until(() => storedDigests(server.facade.dir).has(warm.digest))
  })
  afterAll(async () => await server.stop())

  test(
    "F7: are served to the end as long as they make progress, from the store and from a transfer",
    async () => {
      const read = async ({ digest, size }: TestLayer) =>
        unframed(await readSlowly(server.facade.host, blobPath("a", digest)), size)
      const [fromStore, fromTransfer, small] = await Promise.all([read(warm), read(cold), read(medium)])

      expect(fromStore?.equals(warm.bytes)).toBe(true)
      expect(fromTransfer?.equals(cold.bytes)).toBe(true)
      expect(small?.equals(medium.bytes)).toBe(true)
      expect(server.upstream.asked(cold.digest).length).toBe(1)
    },
    SLOW_MS + 60_000,
  )
})
