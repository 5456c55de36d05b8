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
  const crowd = await Promise.all(
    Array.from({ length: plan.crowd }, (_, index) => join(server.url, path, index % 2 === 1)),
  )
  await Bun.sleep(plan.crowdSeconds * 1000)
  const bytesRead = crowd.reduce((sum, { received }) => sum + received(), 0)
  const peakBytes = server.peakBytes()
  for (const { socket } of crowd) socket.destroy()
  return { peakBytes, bytesRead }
}

interface Member {
  readonly socket: Socket
  readonly received: () => number
}

/** Resolves with the first bytes of the answer. */
async function join(url: string, path: string, stalls: boolean): Promise<Member> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let received = 0
  socket.on("error", reject)
  socket.on("close", () => reject(new Error(`A client of ${path} was cut off after ${received} bytes`)))
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
