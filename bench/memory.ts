import { connect, type Socket } from "node:net"
import type { Plan } from "./plan.ts"
import type { ServerProcess } from "./server-process.ts"

export interface CrowdResult {
  readonly peakBytes: number
  /** Received by those who read on. */
  readonly bytesRead: number
}

/** Many clients of a blob, of which every second one stops reading after the first bytes and stays. */
export async function measureCrowd(server: ServerProcess, path: string, plan: Plan): Promise<CrowdResult> {
  server.resetPeak()
  const crowd = await openCrowd(server.url, path, plan.crowd)
  await Bun.sleep(plan.crowdSeconds * 1000)
  const result = { peakBytes: server.peakBytes(), bytesRead: crowd.received() }
  crowd.leave()
  return result
}

export interface Crowd {
  /** Bytes, by all together. */
  received(): number
  /** Every connection that was closed by the server, and why. */
  readonly cutOff: readonly string[]
  leave(): void
}

/** Resolves when all have the first bytes. */
export async function openCrowd(url: string, path: string, clients: number): Promise<Crowd> {
  const cutOff: string[] = []
  const members = await Promise.all(
    Array.from({ length: clients }, (_, index) => join(url, path, { stalls: index % 2 === 1, cutOff })),
  )
  return {
    received: () => members.reduce((sum, { received }) => sum + received(), 0),
    cutOff,
    leave: () => {
      for (const { socket } of members) socket.removeAllListeners("close").destroy()
    },
  }
}

interface Member {
  readonly socket: Socket
  readonly received: () => number
}

interface Manner {
  readonly stalls: boolean
  readonly cutOff: string[]
}

async function join(url: string, path: string, { cutOff, stalls }: Manner): Promise<Member> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let received = 0
  socket.on("error", reject)
  socket.on("close", () => {
    cutOff.push(`after ${received} bytes`)
    reject(new Error(`A client of ${path} was cut off`))
  })
  socket.on("data", (bytes: Buffer) => {
    if (received === 0 && !bytes.toString("latin1", 0, 13).startsWith("HTTP/1.1 200 ")) {
      reject(new Error(`A client of ${path} was not served: ${bytes.toString("latin1", 0, 200)}`))
    }
    received += bytes.byteLength
    if (stalls) socket.pause()
    resolve()
  })
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
  await promise
  return { socket, received: () => received }
}
