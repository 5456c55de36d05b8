import type { Content } from "../helpers/images.ts"
import type { Fault, PlannedFault } from "./faults.ts"
import { head, type RawConnection, type RawRequest } from "./raw-http.ts"

export interface Body {
  readonly content: Content
  /** Sent instead by an upstream that mixes things up. */
  readonly other: Content
  readonly planned: PlannedFault | null
  readonly silenceMs: number
  /** Told how much of the body went out. */
  readonly sent: (bytes: number) => void
}

const PIECE = 64 * 1024
const TRICKLE_MS = 2

/** Sends content by the rules, or breaks the one that is planned. False: the connection is over. */
export async function sendBody(request: RawRequest, connection: RawConnection, body: Body): Promise<boolean> {
  const { content, planned } = body
  const fault = planned?.fault ?? null
  const bytes = planned === null ? content.bytes : wrongBytes(planned, content, body.other)
  const range = fault === "range-ignored" ? null : readRange(request, bytes.byteLength)
  const part = range === null ? bytes : bytes.subarray(range.start, range.end)
  const status = range === null ? 200 : 206
  const headers: Record<string, string | number> = {
    "content-type": content.mediaType,
    "docker-content-digest": fault === "digest-header-lie" ? body.other.digest : content.digest,
    ...(range === null ? {} : { "content-range": `bytes ${range.start}-${range.end - 1}/${bytes.byteLength}` }),
  }
  const sending: Sending = { connection, body, status, headers, part, place: planned?.place ?? 0 }
  if (request.method === "HEAD") {
    await connection.send(head(status, { ...headers, "content-length": part.byteLength }))
    return true
  }
  const broken = fault === null ? undefined : BREAKERS[fault]
  return broken === undefined ? await whole(sending) : await broken(sending)
}

interface Sending {
  readonly connection: RawConnection
  readonly body: Body
  readonly status: number
  readonly headers: Readonly<Record<string, string | number>>
  readonly part: Uint8Array
  readonly place: number
}

const BREAKERS: Partial<Record<Fault, (sending: Sending) => Promise<boolean>>> = {
  "rst-before": async ({ connection }) => {
    connection.reset()
    return false
  },
  rst: async (sending) => {
    await cut(sending, sending.part.byteLength)
    sending.connection.reset()
    return false
  },
  "fin-early": async (sending) => {
    await cut(sending, sending.part.byteLength)
    sending.connection.end()
    return false
  },
  "short-length": async (sending) => {
    const length = at(sending)
    await start(sending, { "content-length": length })
    await pieces(sending, sending.part.subarray(0, length))
    return true
  },
  long: async (sending) => {
    const extra = new Uint8Array(1 + Math.floor(sending.place * 1000)).fill(0x55)
    await start(sending, { "transfer-encoding": "chunked" })
    await chunks(sending, [sending.part, extra])
    await sending.connection.send("0\r\n\r\n")
    return true
  },
  "two-lengths": async (sending) => {
    await sending.connection.send(`HTTP/1.1 ${sending.status} Chaos\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx`)
    sending.connection.end()
    return false
  },
  "chunk-cut": async (sending) => {
    await start(sending, { "transfer-encoding": "chunked" })
    await sending.connection.send(`${(sending.part.byteLength + 1).toString(16)}\r\n`)
    await pieces(sending, sending.part.subarray(0, at(sending)))
    sending.connection.end()
    return false
  },
  "last-chunk-missing": async (sending) => {
    await start(sending, { "transfer-encoding": "chunked" })
    await chunks(sending, [sending.part.subarray(0, at(sending))])
    await sending.connection.send("0\r\n") // the line that ends the trailers never comes
    sending.connection.end()
    return false
  },
  "close-delimited-cut": async (sending) => {
    await start(sending, { connection: "close" })
    await pieces(sending, sending.part.subarray(0, at(sending)))
    sending.connection.end()
    return false
  },
  garbage: async ({ connection }) => {
    await connection.send("\u0000\u0001\u0002 this is no HTTP\r\n\r\n")
    connection.end()
    return false
  },
  "big-header": async (sending) => {
    await sending.connection.send(`HTTP/1.1 200 OK\r\nx-big: ${"x".repeat(1024 * 1024)}\r\n`)
    sending.connection.end()
    return false
  },
  "many-1xx": async (sending) => {
    for (let count = 0; count < 20; count += 1) await sending.connection.send("HTTP/1.1 102 Processing\r\n\r\n")
    return await whole(sending)
  },
  slow: async (sending) => {
    await start(sending, { "content-length": sending.part.byteLength })
    const size = Math.max(1, Math.ceil(sending.part.byteLength / 5))
    for (let offset = 0; offset < sending.part.byteLength; offset += size) {
      await pieces(sending, sending.part.subarray(offset, offset + size))
      await Bun.sleep(TRICKLE_MS)
    }
    return true
  },
  trickle: async (sending) => {
    await start(sending, { "content-length": sending.part.byteLength })
    for (let offset = 0; offset < Math.min(sending.part.byteLength, 20); offset += 1) {
      await pieces(sending, sending.part.subarray(offset, offset + 1))
      await Bun.sleep(TRICKLE_MS)
    }
    await pieces(sending, sending.part.subarray(20))
    return true
  },
  "no-answer": async ({ connection, body }) => {
    await Bun.sleep(body.silenceMs)
    connection.end()
    return false
  },
  stall: async (sending) => {
    await cut(sending, sending.part.byteLength)
    await Bun.sleep(sending.body.silenceMs)
    sending.connection.end()
    return false
  },
  "half-close": async (sending) => {
    await cut(sending, sending.part.byteLength)
    sending.connection.end()
    return false
  },
  "close-after": async (sending) => {
    await whole(sending)
    sending.connection.end()
    return false
  },
  "range-lie": async (sending) => {
    const start_ = Math.floor(sending.place * 10)
    const { part } = sending
    const headers = {
      "content-range": `bytes ${start_}-${start_ + part.byteLength - 1}/${part.byteLength + 77}`,
      "content-length": part.byteLength,
    }
    await sending.connection.send(head(206, { ...sending.headers, ...headers }))
    await pieces(sending, part)
    return true
  },
  "multipart-range": async (sending) => {
    const text = `--b\r\ncontent-type: application/octet-stream\r\n\r\n${"x".repeat(Math.min(sending.part.byteLength, 100))}\r\n--b--\r\n`
    await sending.connection.send(
      `${head(206, { "content-type": "multipart/byteranges; boundary=b", "content-length": text.length })}${text}`,
    )
    return true
  },
  encoded: async (sending) => {
    const zipped = Bun.gzipSync(new Uint8Array(sending.part))
    await sending.connection.send(
      head(sending.status, { ...sending.headers, "content-encoding": "gzip", "content-length": zipped.byteLength }),
    )
    await sending.connection.send(zipped)
    return true
  },
  html: async ({ connection }) => {
    const page = "<!doctype html><title>Please log in</title>"
    await connection.send(
      `${head(200, { "content-type": "text/html; charset=utf-8", "content-length": page.length })}${page}`,
    )
    return true
  },
}

/** Announces everything and sends a part. */
async function cut(sending: Sending, length: number): Promise<void> {
  await start(sending, { "content-length": length })
  await pieces(sending, sending.part.subarray(0, at(sending)))
}

/** Where the fault strikes: somewhere before the end. */
const at = ({ part, place }: Sending): number => Math.floor(place * part.byteLength)

const start = async (sending: Sending, headers: Readonly<Record<string, string | number>>): Promise<void> =>
  await sending.connection.send(head(sending.status, { ...sending.headers, ...headers }))

async function whole(sending: Sending): Promise<boolean> {
  await start(sending, { "content-length": sending.part.byteLength })
  await pieces(sending, sending.part)
  return true
}

async function pieces({ connection, body }: Sending, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; offset += PIECE) {
    const piece = bytes.subarray(offset, offset + PIECE)
    await connection.send(piece)
    body.sent(piece.byteLength)
  }
}

async function chunks(sending: Sending, parts: readonly Uint8Array[]): Promise<void> {
  for (const part of parts.filter(({ byteLength }) => byteLength > 0)) {
    await sending.connection.send(`${part.byteLength.toString(16)}\r\n`)
    await pieces(sending, part)
    await sending.connection.send("\r\n")
  }
}

function readRange({ headers }: RawRequest, size: number): { readonly start: number; readonly end: number } | null {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers.get("range") ?? "") ?? []
  if (first === undefined || Number(first) >= size) return null
  return { start: Number(first), end: last === "" || last === undefined ? size : Number(last) + 1 }
}

function wrongBytes({ fault, place }: PlannedFault, content: Content, other: Content): Uint8Array {
  const { bytes, size } = content
  if (size === 0) return bytes
  const wrong = bytes.slice()
  switch (fault) {
    case "flip": {
      const offset = Math.floor(place * size)
      wrong[offset] = (wrong[offset] ?? 0) ^ (1 << Math.floor(place * 8))
      return wrong
    }
    case "swap":
      for (let offset = 0; offset < size; offset += 1) wrong[offset] = other.bytes[offset % other.size] ?? 0
      return wrong
    case "other-prefix":
      wrong.set(other.bytes.subarray(0, Math.floor(place * Math.min(size, other.size))))
      return wrong
    case "zeros":
      return wrong.fill(0, Math.floor(place * size))
    default:
      return bytes
  }
}
