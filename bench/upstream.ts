import { join } from "node:path"
import { freePort } from "../test/helpers/free-port.ts"
import { type ServerProcess, startServer } from "./server-process.ts"

/** A registry that counts what it is asked for. */
export interface Upstream {
  /** host:port, as references write it. */
  readonly host: string
  readonly process: ServerProcess
  /** Blobs asked for and bytes of blobs sent, since the start. */
  counts(): Promise<UpstreamCounts>
}

export interface UpstreamCounts {
  readonly gets: number
  readonly bytes: number
}

export interface Distance {
  readonly bytesPerSecond: number
  readonly delayMs: number
}

/** `distance` null: as near and as fast as this machine allows. */
export async function startUpstream(dir: string, log: string, distance: Distance | null): Promise<Upstream> {
  const port = freePort()
  const { bytesPerSecond, delayMs } = distance ?? { bytesPerSecond: 0, delayMs: 0 }
  const script = join(import.meta.dir, "upstream-process.ts")
  const command = [process.execPath, script, String(port), dir, String(bytesPerSecond), String(delayMs)]
  const server = await startServer({ command, port, ready: "/v2/", log })
  return {
    host: `127.0.0.1:${port}`,
    process: server,
    counts: async () => (await (await fetch(`${server.url}/counts`)).json()) as UpstreamCounts,
  }
}
