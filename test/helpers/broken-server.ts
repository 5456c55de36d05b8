/** Promises a hundred bytes, sends a few of them, and closes the connection. */
export function startBroken(): { readonly url: string; stop(): void } {
  const begin = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"token": "a'
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket) => {
        socket.write(begin)
        socket.end()
      },
    },
  })
  return { url: `http://127.0.0.1:${server.port}/`, stop: () => server.stop(true) }
}
