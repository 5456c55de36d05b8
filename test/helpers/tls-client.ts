import { type ConnectionOptions, connect, type TLSSocket } from "node:tls"

export interface TlsAnswer {
  /** Common name of the certificate that the server has shown. */
  readonly server: string
  /** All that it has sent until it closed the connection. */
  readonly text: string
}

const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`

/** Opens a connection of its own, and resolves when the handshake is done. Rejects with the socket's error. */
export async function openTls(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...options }, resolve)
  socket.on("error", reject)
  socket.on("close", () => reject(new Error("Closed during the handshake")))
  await promise
  return socket
}

/** One GET over a connection of its own. Rejects when it is reset, or no answer comes. */
export async function askTls(port: number, path: string, options: ConnectionOptions = {}): Promise<TlsAnswer> {
  const socket = await openTls(port, options)
  const server = String(socket.getPeerCertificate().subject.CN)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const chunks: Buffer[] = []
  socket.on("data", (chunk: Buffer) => void chunks.push(chunk))
  socket.on("error", reject)
  socket.on("close", () => resolve())
  socket.write(request(path))
  await promise
  const text = Buffer.concat(chunks).toString("latin1")
  if (!text.startsWith("HTTP/1.1 ")) throw new Error(`No answer to GET ${path}`)
  return { server, text }
}
