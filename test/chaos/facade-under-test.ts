import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startApp } from "../../src/app/app.ts"
import type { OpenSpool, Spool } from "../../src/blob/spool.ts"
import { loadConfig } from "../../src/config/load.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { PRODUCTION, type Tuning } from "../../src/tuning.ts"
import { memoryDir } from "../helpers/temp-dir.ts"
import { loopClock } from "./loop-clock.ts"
import { createRandom } from "./random.ts"
import type { Universe } from "./universe.ts"

export interface FacadeUnderTest {
  readonly url: string
  readonly store: string
  readonly logs: readonly string[]
  stop(): Promise<void>
}

export interface UnderTestOptions {
  readonly universe: Universe
  readonly upstream: string
  /** Of the spools opened, how many fail somewhere; between 0 and 1. */
  readonly diskFaults: number
}

/** Production's patience, a few hundred times shorter. */
export const IMPATIENT: Omit<Tuning, "random" | "disk"> = {
  ...PRODUCTION,
  clock: loopClock(),
  downloads: {
    ...PRODUCTION.downloads,
    perSource: 10,
    baseMs: 1,
    capMs: 10,
    patienceMs: 10,
    verifyFirstBytes: 150_000,
    firstByteMs: 8000,
    lingerMs: 5,
    finishBytes: 50_000,
    firstConcurrency: 256,
    queueMs: 5000,
    failureMs: 2,
    distrustMs: 200,
  },
  documents: { ...PRODUCTION.documents, attempts: 10, baseMs: 1, capMs: 10, patienceMs: 2000, budgetMs: 15_000 },
  egress: {
    ...PRODUCTION.egress,
    firstByteMs: 100,
    progressMs: 100,
    failures: 1000,
    maxPauseMs: 5,
    perHost: 64,
    queueMs: 5000,
  },
  credentials: { ...PRODUCTION.credentials, refusedMs: 1 },
  windows: { count: 32, bytes: 200_000, patienceMs: 20 },
  serving: { ...PRODUCTION.serving, stallSeconds: 240 },
  files: PRODUCTION.files,
  maintenanceMs: 50,
  tls: { handoverMs: 50 },
}

/**
 * Where transfers are counted, none may be given up by ourselves: not because its readers left, and not because this
 * machine was busy.
 */
const PATIENT: Omit<Tuning, "random" | "disk"> = {
  ...IMPATIENT,
  downloads: { ...IMPATIENT.downloads, lingerMs: 60_000 },
  egress: { ...IMPATIENT.egress, firstByteMs: 1000, progressMs: 1000 },
}

/** Starts the facade in this process, on a disk that fails now and then. */
export async function startUnderTest({ universe, upstream, diskFaults }: UnderTestOptions): Promise<FacadeUnderTest> {
  const dir = memoryDir() // a run syncs tens of thousands of files
  const specs = Object.fromEntries(
    universe.names.map(({ name, repository }) => [
      name.replace(/^fixed\//, ""),
      { baseRef: `${upstream}/${repository}:1` },
    ]),
  )
  writeFileSync(join(dir, "specs.json"), JSON.stringify(specs))
  writeFileSync(join(dir, "password"), universe.password)
  const upstreams = { [upstream]: { username: universe.username, passwordFile: "password" } }
  const registry = {
    host: "127.0.0.1",
    port: 0,
    store: "store",
    storeMinFreeBytes: 0,
    fixedSpecFN: "specs.json",
    upstreams,
    tagTTL: "1h",
  }
  writeFileSync(join(dir, "config.json"), JSON.stringify({ registry }))
  const logs: string[] = []
  const log = createLogger({
    format: "json",
    version: "chaos",
    level: () => "info",
    write: (line) => void logs.push(line),
  })
  const random = createRandom(universe.seed, "facade").next
  const disk = failingDisk(universe.seed, diskFaults)
  const app = await startApp(await loadConfig(join(dir, "config.json")), {
    log,
    tuning: { ...(diskFaults === 0 ? PATIENT : IMPATIENT), random, disk },
  })
  return {
    url: `http://127.0.0.1:${app.registryPort}`,
    store: join(dir, "store", "v1"),
    logs,
    stop: async () => {
      await app.stop(true)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** A disk that is full, read-only or broken for some spools: when they are opened, in the middle, or at the end. */
function failingDisk(seed: number, share: number): (open: OpenSpool) => OpenSpool {
  let opened = 0
  return (open) => async (size) => {
    opened += 1
    const random = createRandom(seed, "disk", opened)
    if (random.next() >= share) return await open(size)
    const error = Object.assign(new Error("made to fail"), { code: random.pick(["ENOSPC", "EIO", "EROFS", "EMFILE"]) })
    const moment = random.pick(["open", "write", "keep"] as const)
    if (moment === "open") throw error
    const spool = await open(size)
    return moment === "write"
      ? failingAfter(spool, random.below(4), error)
      : { ...delegate(spool), keep: () => Promise.reject(error) }
  }
}

function failingAfter(spool: Spool, writes: number, error: Error): Spool {
  let left = writes
  const write = async (bytes: Uint8Array) => {
    left -= 1
    if (left < 0) throw error
    await spool.write(bytes)
  }
  return { ...delegate(spool), write }
}

const delegate = (spool: Spool): Spool => ({
  isWindow: spool.isWindow,
  write: (bytes) => spool.write(bytes),
  read: (offset, length) => spool.read(offset, length),
  advance: (slowest, fastest) => spool.advance(slowest, fastest),
  reset: () => spool.reset(),
  keep: (descriptor) => spool.keep(descriptor),
  close: () => spool.close(),
})
