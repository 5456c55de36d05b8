import type { Socket, TCPSocketListener } from "bun"

/** HTTP at the level of bytes, so that every rule can be broken. */
export interface RawRequest {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: ReadonlyMap<string, string>
}

export interface RawConnection {
  /** Resolves when the bytes are handed over; rejects when the peer is gone. */
  send(bytes: Uint8Array | string): Promise<void>
  /** Ends properly. */
  end(): void
  /** Ends with a reset. */
  reset(): void
  readonly isGone: boolean
}

export interface RawServer {
  readonly port: number
  readonly open: () => number
  stop(): void
}

/** Answers one request; false closes the connection after it. */
export type RawHandler = (request: RawRequest, connection: RawConnection) => Promise<boolean>

interface State {
  buffer: Buffer
  isBusy: boolean
  isGone: boolean
  drained: PromiseWithResolvers<void> | null
}

export function startRawServer(handle: RawHandler): RawServer {
  let open = 0
  const listener: TCPSocketListener<State> = Bun.listen<State>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => {
        open += 1
        socket.data = { buffer: Buffer.alloc(0), isBusy: false, isGone: false, drained: null }
      },
      data: (socket, bytes) => {
        socket.data.buffer = Buffer.concat([socket.data.buffer, bytes])
        void serve(socket, handle)
      },
      drain: (socket) => settle(socket.data),
      close: (socket) => {
        open -= 1
        socket.data.isGone = true
        settle(socket.data)
      },
      error: () => {},
    },
  })
  return { port: listener.port, open: () => open, stop: () => listener.stop(true) }
}

function settle(state: State): void {
  state.drained?.resolve()
  state.drained = null
}

async function serve(socket: Socket<State>, handle: RawHandler): Promise<void> {
  const state = socket.data
  if (state.isBusy) return
  state.isBusy = true
  for (let request = takeRequest(state); request !== null; request = takeRequest(state)) {
    const connection = connectionOf(socket)
    const goesOn = await handle(request, connection).catch(() => false)
    if (!goesOn && !state.isGone) socket.end()
    if (!goesOn) break
  }
  state.isBusy = false
}

function takeRequest(state: State): RawRequest | null {
  const end = state.buffer.indexOf("\r\n\r\n")
  if (end === -1 || state.isGone) return null
  const [first = "", ...lines] = state.buffer.subarray(0, end).toString("latin1").split("\r\n")
  state.buffer = state.buffer.subarray(end + 4)
  const [method = "", target = "/"] = first.split(" ")
  const url = new URL(target, "http://localhost")
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    }),
  )
  return { method, path: url.pathname, query: url.searchParams, headers }
}

function connectionOf(socket: Socket<State>): RawConnection {
  const state = socket.data
  return {
    send: async (data) => {
      let bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data
      while (bytes.byteLength > 0) {
        if (state.isGone) throw new Error("The peer is gone")
        const written = socket.write(bytes)
        bytes = bytes.subarray(Math.max(written, 0))
        if (bytes.byteLength === 0) break
        state.drained = Promise.withResolvers<void>()
        await state.drained.promise
      }
    },
    end: () => void socket.end(),
    reset: () => void socket.terminate(),
    get isGone() {
      return state.isGone
    },
  }
}

export function head(status: number, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} Chaos\r\n${lines.join("")}\r\n`
}
