import { output } from "../test/helpers/programs.ts"
import { download } from "./cold.ts"
import { BINARY } from "./contenders.ts"
import type { Lab } from "./lab.ts"
import { median } from "./median.ts"

export interface StartResult {
  readonly startMs: number
  readonly idleBytes: number
  /** Of a command that serves nothing, from its start to its end. */
  readonly versionMs: number
  /** Of the program's file. */
  readonly programBytes: number
}

const SETTLE_MS = 1000

/** Starts the facade again and again, with what it has on disk, and looks at it while it does nothing. */
export async function measureStart({ plan, startFacade }: Lab): Promise<StartResult> {
  const starts: Pick<StartResult, "startMs" | "idleBytes" | "versionMs">[] = []
  for (let round = 0; round < plan.transferRounds; round += 1) {
    const { process } = await startFacade()
    await Bun.sleep(SETTLE_MS)
    const figures = { startMs: process.startMs, idleBytes: process.residentBytes() }
    await process.stop()
    starts.push({ ...figures, versionMs: await measureVersion() })
  }
  return {
    startMs: median(starts.map(({ startMs }) => startMs)),
    idleBytes: median(starts.map(({ idleBytes }) => idleBytes)),
    versionMs: median(starts.map(({ versionMs }) => versionMs)),
    programBytes: Bun.file(BINARY).size,
  }
}

async function measureVersion(): Promise<number> {
  const startedAt = performance.now()
  await output([BINARY, "version"])
  return performance.now() - startedAt
}

export interface RestartResult {
  readonly firstSeconds: number
  readonly secondSeconds: number
}

/** The first and the second read of a stored blob after a restart. */
export async function measureRestart({ material, startFacade }: Lab): Promise<RestartResult> {
  const { process, blobPath } = await startFacade()
  const url = `${process.url}${blobPath(material.big.digest)}`
  const first = await download(url, material.big)
  const second = await download(url, material.big)
  await process.stop()
  return { firstSeconds: first.totalSeconds, secondSeconds: second.totalSeconds }
}
