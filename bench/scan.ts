import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../test/helpers/free-port.ts"
import { image, opaqueLayer } from "../test/helpers/images.ts"
import { BINARY } from "./contenders.ts"
import type { Lab } from "./lab.ts"
import { type FileLayer, writeFileLayer } from "./layered-files.ts"
import { blobFile } from "./material.ts"
import { median } from "./median.ts"
import { type ServerProcess, startServer } from "./server-process.ts"

export interface ScanResult {
  /** Of the archive, uncompressed. */
  readonly archiveBytes: number
  readonly bytesPerSecond: number
  readonly cpuSecondsPerGigabyte: number
  readonly peakBytes: number
  readonly first: FirstFile
}

/** A file in the middle of the layer of an image that nobody has asked for before. Medians. */
export interface FirstFile {
  /** Until the part of the layer has come, straight from the upstream, that ends with the file. */
  readonly directSeconds: number
  readonly facadeSeconds: number
  readonly ratio: number
}

/** Reads a large layer as fast as it goes, and asks for files of cold images behind a line of limited speed. */
export async function measureScan(lab: Lab): Promise<ScanResult> {
  const large = await addImage(lab, "scan", lab.plan.scanBytes)
  const rounds: LargeResult[] = []
  await measureLarge(lab, large) // a virtual machine gets the memory for what is written from its host first, page by page
  for (let round = 0; round < lab.plan.transferRounds; round += 1) rounds.push(await measureLarge(lab, large))
  rmSync(large.path)
  const middle = (key: keyof LargeResult) => median(rounds.map((result) => result[key]))
  const scan = {
    archiveBytes: large.archiveBytes,
    bytesPerSecond: middle("bytesPerSecond"),
    cpuSecondsPerGigabyte: middle("cpuSecondsPerGigabyte"),
    peakBytes: Math.max(...rounds.map(({ peakBytes }) => peakBytes)),
  }
  return { ...scan, first: await measureFirst(lab, await addImage(lab, "first", lab.plan.firstBytes)) }
}

type LargeResult = Pick<ScanResult, "bytesPerSecond" | "cpuSecondsPerGigabyte" | "peakBytes">

/** By a program with nothing on its disk. */
async function measureLarge(lab: Lab, layer: FileLayer): Promise<LargeResult> {
  const server = await startFileServer(lab, lab.near.host)
  server.resetPeak()
  const cpuBefore = server.cpuSeconds()
  const startedAt = performance.now()
  // All of the layer has to be known before it can be told that a file is not in it
  const answer = await fetch(`${server.url}/${lab.near.host}/bench:scan/none`)
  const seconds = (performance.now() - startedAt) / 1000
  const peakBytes = server.peakBytes()
  const cpuSeconds = server.cpuSeconds() - cpuBefore
  const text = await answer.text()
  await server.close()
  if (answer.status !== 404) throw new Error(`A file that is not there is answered with ${answer.status}: ${text}`)
  const { archiveBytes } = layer
  const cpuSecondsPerGigabyte = (cpuSeconds / archiveBytes) * 1e9
  return { bytesPerSecond: archiveBytes / seconds, cpuSecondsPerGigabyte, peakBytes }
}

async function measureFirst(lab: Lab, layer: FileLayer): Promise<FirstFile> {
  const rounds: FirstFile[] = []
  for (let round = 0; round < lab.plan.transferRounds; round += 1) {
    const directSeconds = await timeUntil(
      `http://${lab.far.host}/v2/bench/blobs/${layer.digest}`,
      layer.middle.endBytes,
    )
    const server = await startFileServer(lab, lab.far.host)
    const url = `${server.url}/${lab.far.host}/bench:first/${layer.middle.name}`
    const facadeSeconds = await timeUntil(url, null)
    await server.close()
    rounds.push({ directSeconds, facadeSeconds, ratio: facadeSeconds / directSeconds })
  }
  return {
    directSeconds: median(rounds.map(({ directSeconds }) => directSeconds)),
    facadeSeconds: median(rounds.map(({ facadeSeconds }) => facadeSeconds)),
    ratio: median(rounds.map(({ ratio }) => ratio)),
  }
}

/** Seconds until so many bytes have come; null: all. */
async function timeUntil(url: string, bytes: number | null): Promise<number> {
  const startedAt = performance.now()
  const answer = await fetch(url, { decompress: false })
  if (answer.status !== 200 || answer.body === null)
    throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`)
  let received = 0
  for await (const piece of answer.body) {
    received += piece.byteLength
    if (bytes !== null && received >= bytes) break
  }
  if (received < (bytes ?? 1)) throw new Error(`${url} gives ${received} bytes`)
  return (performance.now() - startedAt) / 1000
}

/** Puts an image of one layer where both upstreams have it. */
async function addImage({ material: { dir } }: Lab, name: string, archiveBytes: number): Promise<FileLayer> {
  const draft = join(dir, `${name}.draft`)
  const layer = await writeFileLayer(draft, archiveBytes)
  const made = await image({ layers: [{ ...opaqueLayer(0), digest: layer.digest, size: layer.size }] })
  const path = blobFile(dir, layer.digest)
  await Bun.write(blobFile(dir, made.config.digest), made.config.bytes)
  for (const tag of [name, made.manifest.digest]) await Bun.write(join(dir, "manifests", tag), made.manifest.bytes)
  renameSync(draft, path)
  return { ...layer, path }
}

let servers = 0

interface EmptyServer extends ServerProcess {
  /** Ends it, and removes what it has on its disk. */
  close(): Promise<void>
}

/** The compiled program with nothing on its disk. */
async function startFileServer({ work }: Lab, host: string): Promise<EmptyServer> {
  servers += 1
  const home = join(work, `files-${servers}`)
  mkdirSync(home)
  const port = freePort()
  const repos = { [`${host}/bench`]: { layers: "all" } }
  const blobserve = { host: "127.0.0.1", port, timeout: "0", repos, blobSpace: { location: "space" } }
  const config = join(home, "config.json")
  writeFileSync(config, JSON.stringify({ shutdown: { delay: "0", grace: "0" }, blobserve }))
  const command = [BINARY, "run", config]
  const server = await startServer({ command, port, ready: "/swagger", log: join(home, "log") })
  const close = async () => {
    await server.stop()
    rmSync(home, { recursive: true })
  }
  return { ...server, close }
}
