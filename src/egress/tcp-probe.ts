/** Opens a connection and closes it again. Rejects when that is not possible, or with the signal's reason. */
export async function probeTcp(hostname: string, port: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const abort = () => reject(signal.reason)
  signal.addEventListener("abort", abort, { once: true })
  const connecting = Bun.connect({
    hostname,
    port,
    socket: {
      open: (socket) => {
        resolve()
        socket.end()
      },
      data: () => {},
      connectError: (_socket, error) => reject(error),
      error: (_socket, error) => reject(error),
    },
  })
  connecting.catch(reject)
  try {
    await promise
  } finally {
    signal.removeEventListener("abort", abort)
    // One that opens only now is of no use any more
    connecting.then(
      (socket) => socket.end(),
      () => {},
    )
  }
}
