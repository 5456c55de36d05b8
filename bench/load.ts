import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { output } from "../test/helpers/programs.ts"
import type { ServerProcess } from "./server-process.ts"

export interface LoadOptions {
  /** Asked for in turns. */
  readonly paths: readonly string[]
  readonly connections: number
  readonly seconds: number
}

export interface LoadResult {
  readonly requestsPerSecond: number
  readonly bytesPerSecond: number
  readonly cpuSecondsPerRequest: number
  readonly cpuSecondsPerGigabyte: number
}

interface Counted {
  readonly requests: number
  readonly bytes: number
  readonly microseconds: number
  readonly failed: number
}

/** Loads a server with wrk. Rejects when an answer is not what it should be. */
export async function load(server: ServerProcess, options: LoadOptions): Promise<LoadResult> {
  const before = server.cpuSeconds()
  const { requests, bytes, microseconds, failed } = await wrk(server.url, options)
  const cpuSeconds = server.cpuSeconds() - before
  if (failed > 0)
    throw new Error(`Cannot measure ${server.url}${options.paths[0]}: ${failed} of ${requests} requests have failed`)
  return {
    requestsPerSecond: requests / (microseconds / 1e6),
    bytesPerSecond: bytes / (microseconds / 1e6),
    cpuSecondsPerRequest: cpuSeconds / requests,
    cpuSecondsPerGigabyte: cpuSeconds / (bytes / 1e9),
  }
}

async function wrk(url: string, { paths, connections, seconds }: LoadOptions): Promise<Counted> {
  const dir = mkdtempSync(join(tmpdir(), "registry-facade-bench-"))
  try {
    const list = join(dir, "paths")
    writeFileSync(list, `${paths.join("\n")}\n`)
    const script = join(import.meta.dir, "paths.lua")
    // wrk knows whole seconds alone; it prints what it has when it is interrupted
    const wrk = ["wrk", "-t1", `-c${connections}`, "-d60s", "--timeout", "30s", "-s", script, url, "--", list]
    const text = await output(["timeout", "--signal=INT", "--preserve-status", String(seconds), ...wrk])
    return JSON.parse(/^RESULT (.*)$/m.exec(text)?.[1] ?? "null") as Counted
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
