import type { Socket } from "bun"

export interface ResettingProxy {
  /** host:port, as references write it. */
  readonly host: string
  /** Connections that it has reset. */
  resets(): number
  stop(): void
}

/** Stands before a server, and resets the first connections as soon as something is asked over them. */
export function startResettingProxy(server: URL, count: number): ResettingProxy {
  let resets = 0
  const peers = new WeakMap<Socket, Promise<Socket>>()
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: async (socket, data) => {
        if (resets < count && !peers.has(socket)) {
          resets += 1
          socket.terminate()
          return
        }
        const peer = peers.get(socket) ?? connect(server, socket)
        peers.set(socket, peer)
        ;(await peer).write(data)
      },
      close: async (socket) => void (await peers.get(socket))?.end(),
    },
  })
  return { host: `127.0.0.1:${listener.port}`, resets: () => resets, stop: () => listener.stop(true) }
}

const connect = async ({ hostname, port }: URL, client: Socket): Promise<Socket> =>
  await Bun.connect({
    hostname,
    port: Number(port),
    socket: { data: (_, data) => void client.write(data), close: () => void client.end() },
  })
