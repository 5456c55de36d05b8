import { rmSync, statSync } from "node:fs"
import { isDigest } from "../src/oci/digest.ts"
import { DiskPaths } from "../src/store/disk-path.ts"
import { eventually, output } from "../test/helpers/programs.ts"
import type { Lab } from "./lab.ts"
import type { FileContent } from "./material.ts"
import { median } from "./median.ts"
import type { ServerProcess } from "./server-process.ts"

/** A facade, and where its names are fetched from. */
export interface ColdOptions {
  readonly lab: Lab
  readonly facade: ServerProcess
  /** The upstream, and the name of the facade's image that is there. */
  readonly upstream: "far" | "near"
}

export interface Transfer {
  readonly totalSeconds: number
  readonly firstByteSeconds: number
}

export interface ColdResults {
  readonly direct: Transfer
  readonly facade: Transfer
  /** Medians of the ratios within each round. */
  readonly ratio: Transfer
}

/** The big blob from an upstream itself, and through a facade that does not have it, in turns. */
export async function measureCold({ lab, facade: server, upstream }: ColdOptions): Promise<ColdResults> {
  const { big } = lab.material
  const direct: Transfer[] = []
  const facade: Transfer[] = []
  for (let round = 0; round < lab.plan.transferRounds; round += 1) {
    direct.push(await download(`http://${lab[upstream].host}/v2/bench/blobs/${big.digest}`, big))
    await forget(lab, big)
    facade.push(await download(`${server.url}/v2/fixed/${upstream}/blobs/${big.digest}`, big))
    await kept(lab, big)
  }
  const ratios = facade.map((one, round) => quotient(one, direct[round]))
  return { direct: middle(direct), facade: middle(facade), ratio: middle(ratios) }
}

export interface HerdResult {
  readonly clients: number
  readonly seconds: number
  readonly upstreamGets: number
  /** As a multiple of the blob's size. */
  readonly upstreamShare: number
}

/** Many clients at once ask for a blob that is not here. Rejects when one of them does not get it all. */
export async function measureHerd({ lab, facade, upstream }: ColdOptions): Promise<HerdResult> {
  const { material, plan } = lab
  const { big } = material
  await forget(lab, big)
  const before = await lab[upstream].counts()
  const startedAt = performance.now()
  const url = `${facade.url}/v2/fixed/${upstream}/blobs/${big.digest}`
  const many = Array.from({ length: plan.herd }, () => ["-o", "/dev/null", url]).flat()
  const flags = ["--silent", "--fail", "--parallel", "--parallel-immediate", "--parallel-max", String(plan.herd)]
  const sizes = await output(["curl", ...flags, "--write-out", "%{size_download}\n", ...many])
  const seconds = (performance.now() - startedAt) / 1000
  const complete = sizes.split("\n").filter((size) => size === String(big.size)).length
  if (complete !== plan.herd) throw new Error(`Only ${complete} of ${plan.herd} clients got the whole blob`)
  const after = await lab[upstream].counts()
  await kept(lab, big)
  return {
    clients: plan.herd,
    seconds,
    upstreamGets: after.gets - before.gets,
    upstreamShare: (after.bytes - before.bytes) / big.size,
  }
}

export async function download(url: string, { size }: FileContent): Promise<Transfer> {
  const format = "%{time_total} %{time_starttransfer} %{size_download}"
  const text = await output(["curl", "--silent", "--fail", "--output", "/dev/null", "--write-out", format, url])
  const [totalSeconds = 0, firstByteSeconds = 0, received] = text.split(" ").map(Number)
  if (received !== size) throw new Error(`Got ${received} of ${size} bytes of ${url}`)
  return { totalSeconds, firstByteSeconds }
}

const quotient = (one: Transfer, other: Transfer | undefined): Transfer => ({
  totalSeconds: one.totalSeconds / (other?.totalSeconds ?? Number.NaN),
  firstByteSeconds: one.firstByteSeconds / (other?.firstByteSeconds ?? Number.NaN),
})

const middle = (transfers: readonly Transfer[]): Transfer => ({
  totalSeconds: median(transfers.map(({ totalSeconds }) => totalSeconds)),
  firstByteSeconds: median(transfers.map(({ firstByteSeconds }) => firstByteSeconds)),
})

/** As eviction does it. */
async function forget(lab: Lab, blob: FileContent): Promise<void> {
  rmSync(stored(lab, blob), { force: true })
}

/** A client is served before the disk has confirmed. */
export async function kept(lab: Lab, blob: FileContent): Promise<void> {
  await eventually(async () => statSync(stored(lab, blob), { throwIfNoEntry: false }) ?? null)
}

function stored({ store }: Lab, { digest }: FileContent): string {
  if (!isDigest(digest)) throw new TypeError(`${digest} is no digest`)
  return new DiskPaths(store).blob(digest)
}
