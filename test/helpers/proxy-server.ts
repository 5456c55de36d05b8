import { connect, createServer, type Socket } from "node:net"

export interface ProxySeen {
  readonly method: string
  /** host:port for CONNECT, a URL otherwise. */
  readonly target: string
  readonly headers: ReadonlyMap<string, string>
}

export interface ProxyServer {
  readonly url: URL
  readonly seen: ProxySeen[]
  stop(): void
}

export interface ProxyOptions {
  /** By host:port as it is asked for: the port on this machine that it leads to. */
  readonly leadsTo: ReadonlyMap<string, number>
  /** Value of Proxy-Authorization that is asked for. */
  readonly authorization?: string
}

/** An HTTP proxy in miniature: CONNECT, and requests with whole URLs. It resolves names by itself, as proxies do. */
export async function startProxy({ leadsTo, authorization }: ProxyOptions): Promise<ProxyServer> {
  const seen: ProxySeen[] = []
  const sockets = new Set<Socket>()
  const handle = (client: Socket, head: string, rest: Buffer) => {
    const [first = "", ...lines] = head.split("\r\n")
    const [method = "", target = "", version = ""] = first.split(" ")
    const headers = new Map(
      lines.map((line) => [line.split(":")[0]?.toLowerCase() ?? "", line.replace(/^[^:]*:\s*/, "")]),
    )
    seen.push({ method, target, headers })
    if (authorization !== undefined && headers.get("proxy-authorization") !== authorization)
      return void client.end("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
    const address = method === "CONNECT" ? target : withPort(new URL(target))
    const port = leadsTo.get(address)
    if (port === undefined) return void client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
    const upstream = connect(port, "127.0.0.1")
    sockets.add(upstream)
    upstream.on("error", () => client.destroy())
    client.on("close", () => upstream.destroy())
    if (method === "CONNECT") client.write("HTTP/1.1 200 Connection established\r\n\r\n")
    else
      upstream.write(
        `${method} ${pathOf(target)} ${version}\r\n${[...kept(lines), "Connection: close"].join("\r\n")}\r\n\r\n`,
      )
    upstream.write(rest)
    client.pipe(upstream)
    upstream.pipe(client)
  }
  const server = createServer((client) => {
    sockets.add(client)
    client.on("error", () => {})
    let received = Buffer.alloc(0)
    const read = (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      const end = received.indexOf("\r\n\r\n")
      if (end === -1) return
      client.off("data", read)
      handle(client, received.toString("latin1", 0, end), received.subarray(end + 4))
    }
    client.on("data", read)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const address = server.address()
  return {
    url: new URL(`http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`),
    seen,
    stop: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const withPort = ({ hostname, port, protocol }: URL): string =>
  `${hostname}:${port || (protocol === "https:" ? 443 : 80)}`
const pathOf = (target: string): string => new URL(target).pathname + new URL(target).search
const kept = (lines: readonly string[]): readonly string[] =>
  lines.filter((line) => !/^(?:proxy-[a-z]+|connection):/i.test(line))
