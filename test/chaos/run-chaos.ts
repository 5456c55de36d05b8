import { chmodSync, closeSync, existsSync, openSync, readdirSync, readFileSync, readSync, writeSync } from "node:fs"
import { join } from "node:path"
import { sha256 } from "../helpers/images.ts"
import { type ChaosUpstream, startChaosUpstream, type UpstreamRecord } from "./chaos-upstream.ts"
import { act, type Tally, type Violation } from "./clients.ts"
import { type FacadeUnderTest, IMPATIENT, startUnderTest } from "./facade-under-test.ts"
import type { FaultPlan } from "./faults.ts"
import { createRandom, type Random } from "./random.ts"
import { createUniverse, type Universe, type UniverseName } from "./universe.ts"

export interface ChaosOptions {
  readonly seed: number
  readonly ops: number
  readonly clients?: number
  /** Of requests that may fail, how many do. */
  readonly density?: number
  /** Of spools, how many meet a disk in trouble. */
  readonly diskFaults?: number
  /** Stops at the first violation. */
  readonly isImpatient?: boolean
}

export interface ChaosReport {
  readonly options: Required<ChaosOptions>
  readonly tally: Tally
  readonly upstream: UpstreamRecord
  readonly seconds: number
  readonly peakRssMiB: number
  readonly violations: readonly Violation[]
}

const OPS_PER_NAME = 6
const OPS_PER_ROT = 20
const ROT_BYTES = 64 * 1024
const LARGE_BYTES = 450_000
const SPREAD = 6
/** Of this process, beside the universe itself: clients, upstream and facade together. */
const MAX_RSS_MIB = 900

/** Runs clients against the facade against an upstream that breaks every rule, and compares with the truth. */
export async function runChaos(given: ChaosOptions): Promise<ChaosReport> {
  const options = { clients: 128, density: 0.7, diskFaults: 0.05, isImpatient: false, ...given }
  const { seed, ops, density } = options
  const startedAt = performance.now()
  const universe = createUniverse({
    seed,
    names: Math.ceil(ops / OPS_PER_NAME),
    layersPerName: 3,
    largeBytes: LARGE_BYTES,
  })
  const plan: FaultPlan = { seed, density, maxPerKey: 4, maxWrongPerKey: 1 }
  const upstream = startChaosUpstream(universe, plan)
  const facade = await startUnderTest({ universe, upstream: upstream.host, diskFaults: options.diskFaults })
  const tally: Tally = { pulls: 0, completed: 0, failed: 0, slowestMs: 0 }
  const violations: Violation[] = []
  const startRss = process.memoryUsage.rss()
  let peakRss = 0
  let next = 0
  const clientOptions = {
    url: facade.url,
    universe,
    plan,
    refused: upstream.record.refused,
    verifyFirstBytes: IMPATIENT.downloads.verifyFirstBytes,
    isImpatient: options.isImpatient,
  }
  const rotted = new Map<string, number>()
  const work = async () => {
    while (next < ops && !(options.isImpatient && violations.length > 0)) {
      const op = next
      next += 1
      const target = targetOf(universe, op, ops)
      if (op % OPS_PER_ROT === 0) rot(facade.store, createRandom(seed, "rot", op), { target, rotted })
      await act(op, target, clientOptions, { tally, violations })
      peakRss = Math.max(peakRss, process.memoryUsage.rss() - startRss)
    }
  }
  await Promise.all(Array.from({ length: options.clients }, work))
  await settled(facade)
  violations.push(...judge({ universe, upstream, facade, peakRss, diskFaults: options.diskFaults, rotted }))
  await facade.stop()
  upstream.stop()
  const seconds = (performance.now() - startedAt) / 1000
  return { options, tally, upstream: upstream.record, seconds, peakRssMiB: Math.round(peakRss / 2 ** 20), violations }
}

/** Neighbours in time ask for the same images, so that cold blobs are asked for by many at once. */
function targetOf({ names, seed }: Universe, op: number, ops: number) {
  const random = createRandom(seed, "target", op)
  const centre = Math.floor((op / ops) * names.length)
  const target = names[Math.min(names.length - 1, Math.max(0, centre - random.below(SPREAD)))]
  if (target === undefined) throw new RangeError("The universe has no names")
  return target
}

/** Waits until nothing is unfinished any more, for a while. */
async function settled({ store }: FacadeUnderTest): Promise<void> {
  for (let tries = 0; tries < 100 && unfinished(store).length > 0; tries += 1) await Bun.sleep(20)
}

const unfinished = (store: string): readonly string[] => {
  const dirs = readdirSync(join(store, "tmp")).filter((name) => !name.endsWith(".lock"))
  return dirs.flatMap((dir) => readdirSync(join(store, "tmp", dir)))
}

interface Evidence {
  readonly universe: Universe
  readonly upstream: ChaosUpstream
  readonly facade: FacadeUnderTest
  readonly peakRss: number
  readonly diskFaults: number
  /** Blobs whose files were damaged, and how often. */
  readonly rotted: ReadonlyMap<string, number>
}

/** What can only be told at the end. */
function judge({ universe, upstream, facade, peakRss, diskFaults, rotted }: Evidence): readonly Violation[] {
  const found: Violation[] = []
  const violate = (rule: string, text: string) => void found.push({ rule, op: -1, text })
  for (const { name, text } of storedFiles(facade.store))
    if (text !== name && !rotted.has(name)) violate("V3", `the store keeps ${text} under ${name}`)
  for (const [digest, { bytes, faults, peak, requests }] of upstream.record.blobs) {
    const size = universe.blobs.get(digest)?.size ?? 0
    if (diskFaults > 0 || universe.blobs.get(digest)?.isPoisoned === true) continue
    if (peak > 1) violate("V4", `${digest} was sent ${peak} times at once`)
    const allowed = size * (1 + faults + (rotted.get(digest) ?? 0)) * 1.05 + faults * 2000
    if (bytes > allowed)
      violate(
        "V5",
        `${digest}: ${bytes} bytes were sent in ${requests} requests with ${faults} faults, its size is ${size}`,
      )
  }
  for (const name of unfinished(facade.store)) violate("V6", `${name} is left over`)
  const universeBytes = [...universe.blobs.values()].reduce((sum, { size }) => sum + size, 0)
  if (peakRss - universeBytes > MAX_RSS_MIB * 2 ** 20)
    violate("V7", `${Math.round(peakRss / 2 ** 20)} MiB of memory were used`)
  const { password } = universe
  for (const leak of upstream.record.leaks) violate("V10", `another host was sent ${leak.slice(0, 20)}...`)
  if (facade.logs.some((line) => line.includes(password) || line.includes("canary-token")))
    violate("V10", "a secret is in the log")
  for (const line of facade.logs)
    if (/unhandled rejection|uncaught exception|unexpected failure/.test(line)) violate("V8", line.slice(0, 600))
  return found
}

interface Rotting {
  readonly target: UniverseName
  readonly rotted: Map<string, number>
}

/** Turns a bit of a file in the store, as bad disks do; of a small one, because a large one may be on its way out. */
function rot(store: string, random: Random, { target, rotted }: Rotting): void {
  const { digest, size } = random.pick(target.layers)
  const path = join(store, "blobs/sha256", digest.slice(7, 9), digest.slice(7))
  if (size === 0 || size > ROT_BYTES || !existsSync(path)) return
  rotted.set(digest, (rotted.get(digest) ?? 0) + 1)
  chmodSync(path, 0o600)
  const file = openSync(path, "r+")
  const place = random.below(size)
  const byte = new Uint8Array(1)
  readSync(file, byte, 0, 1, place)
  writeSync(file, new Uint8Array([(byte[0] ?? 0) ^ 0x10]), 0, 1, place)
  closeSync(file)
}

function* storedFiles(store: string): Generator<{ readonly name: string; readonly text: string }> {
  for (const { name, path } of storedPaths(store)) yield { name, text: sha256(readFileSync(path)) }
}

function* storedPaths(store: string): Generator<{ readonly name: string; readonly path: string }> {
  const root = join(store, "blobs/sha256")
  for (const shard of existsSync(root) ? readdirSync(root) : []) {
    for (const file of readdirSync(join(root, shard))) yield { name: `sha256:${file}`, path: join(root, shard, file) }
  }
}
