/** An answer as it was on the wire. */
export interface RawAnswer {
  readonly status: number
  /** In the order sent, names in lower case. */
  readonly headers: readonly (readonly [string, string])[]
  /** Without the framing. */
  readonly body: Buffer
  /** True when the framing says that nothing is missing. */
  readonly isComplete: boolean
  /** Null: the answer has no such header. Joins repeated ones. */
  header(name: string): string | null
}

export interface RawOptions {
  /** Sent after the head, as fast as the server takes it. */
  readonly body?: Iterable<Uint8Array>
  readonly timeoutMs?: number
}

/** Sends exactly these lines and reads one answer. Rejects when there is none. */
export async function rawRequest(
  host: string,
  lines: readonly string[],
  { body = [], timeoutMs = 20_000 }: RawOptions = {},
): Promise<RawAnswer> {
  const [hostname = "", port = ""] = host.split(":")
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(new Error(`No answer within ${timeoutMs} ms to ${lines[0]}`)), timeoutMs)
  const write = writer([Buffer.from([...lines, "", ""].join("\r\n"), "latin1"), ...body])
  const received = new Received(!/^HEAD /.test(lines[0] ?? ""))
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      open: write,
      drain: write,
      data: (_, chunk) => {
        received.add(chunk)
        if (received.mayBeComplete() && received.answer()?.isComplete === true) resolve()
      },
      close: () => resolve(),
      error: () => resolve(),
    },
  })
  await promise.finally(() => {
    clearTimeout(timer)
    socket.terminate()
  })
  const answer = received.answer()
  if (answer === null) throw new Error(`Closed without an answer to ${lines[0]}`)
  return answer
}

/** Sends all of this on one connection, and gives what came back once it holds so many answers, or is closed. */
export async function rawConversation(host: string, pieces: Iterable<Uint8Array>, answers: number): Promise<string> {
  const [hostname = "", port = ""] = host.split(":")
  const { promise, resolve } = Promise.withResolvers<void>()
  const write = writer(pieces)
  let received = ""
  const data = (_: unknown, chunk: Buffer) => {
    received += chunk.toString("latin1")
    if ((received.match(/HTTP\/1\.1 /g)?.length ?? 0) >= answers) resolve()
  }
  const handlers = { open: write, drain: write, data, close: () => resolve(), error: () => resolve() }
  const socket = await Bun.connect({ hostname, port: Number(port), socket: handlers })
  await promise.finally(() => socket.terminate())
  return received
}

/** Writes piece after piece, each time that the socket takes more. */
function writer(pieces: Iterable<Uint8Array>): (socket: Bun.Socket) => void {
  const iterator = pieces[Symbol.iterator]()
  let rest: Uint8Array | null = iterator.next().value ?? null
  return (socket) => {
    while (rest !== null) {
      const written = socket.write(rest)
      if (written < rest.byteLength) {
        rest = rest.subarray(Math.max(0, written))
        return
      }
      rest = iterator.next().value ?? null
    }
  }
}

type Header = RawAnswer["header"]

interface Head {
  readonly status: number
  readonly headers: RawAnswer["headers"]
  readonly header: Header
  /** Where the body begins. */
  readonly end: number
}

class Received {
  readonly #hasBody: boolean
  #chunks: Buffer[] = []
  #size = 0
  #head: Head | null = null

  constructor(hasBody: boolean) {
    this.#hasBody = hasBody
  }

  add(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk))
    this.#size += chunk.byteLength
  }

  /** Cheap, so that large answers are not put together for every piece of them. */
  mayBeComplete(): boolean {
    this.#head ??= parseHead(this.#bytes())
    if (this.#head === null) return false
    const length = this.#head.header("content-length")
    if (length !== null) return !this.#hasBody || this.#size >= this.#head.end + Number(length)
    return this.#chunks.at(-1)?.subarray(-2).toString() === "\r\n"
  }

  /** Null: not even the head is complete. */
  answer(): RawAnswer | null {
    const bytes = this.#bytes()
    const head = parseHead(bytes)
    if (head === null) return null
    const { status, headers, header, end } = head
    const sent = bytes.subarray(end)
    const isFramed = this.#hasBody && status !== 304 && status !== 204
    return { status, headers, header, ...(isFramed ? unframed(sent, header) : { body: sent, isComplete: true }) }
  }

  #bytes(): Buffer {
    this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? Buffer.alloc(0)
  }
}

/** Of the final answer; those with status 1xx are passed over. */
function parseHead(bytes: Buffer, start = 0): Head | null {
  const end = bytes.indexOf("\r\n\r\n", start)
  if (end === -1) return null
  const [first = "", ...lines] = bytes.toString("latin1", start, end).split("\r\n")
  const status = Number(first.split(" ")[1])
  if (status < 200) return parseHead(bytes, end + 4)
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":")
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  const header = (name: string) => {
    const values = headers.filter(([other]) => other === name).map(([, value]) => value)
    return values.length === 0 ? null : values.join(", ")
  }
  return { status, headers, header, end: end + 4 }
}

function unframed(sent: Buffer, header: Header): Pick<RawAnswer, "body" | "isComplete"> {
  if (header("transfer-encoding") === "chunked") return unchunked(sent)
  const length = header("content-length")
  if (length === null) return { body: sent, isComplete: false }
  return { body: sent.subarray(0, Number(length)), isComplete: sent.byteLength >= Number(length) }
}

function unchunked(sent: Buffer): Pick<RawAnswer, "body" | "isComplete"> {
  const chunks: Buffer[] = []
  for (let offset = 0; offset <= sent.byteLength; ) {
    const line = sent.indexOf("\r\n", offset)
    if (line === -1) break
    const size = Number.parseInt(sent.toString("latin1", offset, line), 16)
    const start = line + 2
    if (size === 0) return { body: Buffer.concat(chunks), isComplete: sent.indexOf("\r\n", start) === start }
    chunks.push(sent.subarray(start, Math.min(start + size, sent.byteLength)))
    offset = start + size + 2
  }
  return { body: Buffer.concat(chunks), isComplete: false }
}
